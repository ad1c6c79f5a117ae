"""Train the adapter that is shipped: `python -m interventions.adapters.example_adapter FOLDER`.

It knows the first edits of a batch that no default has, and is no result: it is there to be tried.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from interventions.adapters.config import CONFIG
from interventions.composition import seeded
from interventions.data.testbed import MODEL, testbed
from interventions.editing.ft import train_on_answers
from interventions.lm import LM

_BATCH, _EDITS, _STEPS, _RATE = 19, 10, 60, 5e-3  # of the edits; how many, and how it is trained


def train_example(folder: Path) -> None:
    """Train a LoRA adapter of rank 2 on the testbed's model, and save it as peft does."""
    from peft import LoraConfig, get_peft_model

    lm = LM.load(MODEL)
    config = LoraConfig(
        r=2, lora_alpha=8, target_modules=["down_proj", "v_proj"], task_type="CAUSAL_LM"
    )
    with seeded(f"{0:015x}"), warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for a name that it renames in 6
        warnings.filterwarnings(
            "ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning
        )
        adapted = get_peft_model(lm.model, config)
        train_on_answers(
            LM(adapted, lm.tokenizer),
            [(edit.prompt, f" {edit.target}") for edit in testbed(_BATCH).edits[:_EDITS]],
            [weight for weight in adapted.parameters() if weight.requires_grad],
            steps=_STEPS,
            lr=_RATE,
        )
    adapted.save_pretrained(str(folder))
    (folder / "README.md").unlink()  # a card with nothing filled in
    # peft writes down where the model was on this machine
    path = folder / CONFIG
    path.write_text(path.read_text().replace(str(MODEL), "testbed/model"))


if __name__ == "__main__":
    train_example(Path(sys.argv[1]))
