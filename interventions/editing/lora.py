"""LoRA: low-rank adapters trained on the new answers, then merged into the weights (peft)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.editing.ft import train_on_answers
from interventions.errors import InvalidInput
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class LoRA(Intervention, category="editing"):
    """Train low-rank adapters on the new answers of a batch of edits, and merge them.

    For each adapted weight W (out, in), with A (rank, in) random and B (out, rank) zero at first:

        W' = W + (alpha / rank) B A                                        (LoRA, equation 3)
        W' = W + (alpha / rank) P diag(lambda) Q                           (AdaLoRA, equation 3)

    The second is that of ``adaptive=True``, as in the paper, section C. The loss is FT's, all edits
    of the batch at once, by Adam.

    Source: Hu et al. 2022, "LoRA", equation 3; Zhang et al. 2023, "AdaLoRA", equation 3; the code
    is peft's.

    Example:
        >>> str(LoRA(rank=4, targets=("q_proj", "v_proj")))
        "lora(rank=4, targets=('q_proj', 'v_proj'))"
    """

    rank: int = hyperparameter(8, "rank of the adapters", low=1)
    alpha: float = hyperparameter(32.0, "scale of the adapters: alpha / rank", above=0)
    lr: float = hyperparameter(1e-3, "learning rate of Adam", paper=5e-3, above=0)
    steps: int = hyperparameter(40, "gradient steps", paper=70, low=1)
    targets: tuple[str, ...] = hyperparameter(
        ("gate_proj", "up_proj", "down_proj"),
        "names of the adapted linear layers",
        paper=("q_proj", "v_proj"),
    )
    dropout: float = hyperparameter(0.0, "dropout on the adapters' input", low=0, below=1)
    adaptive: bool = hyperparameter(False, "AdaLoRA instead of LoRA", paper=True)
    reads = frozenset({"edits"})
    reports = True

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if a target names no linear layer of the model."""
        names = {
            name.rpartition(".")[2]
            for name, _ in model.named_modules()
            if "_proj" in name or "." in name
        }
        for target in self.targets:
            if target not in names:
                shown = ", ".join(sorted(name for name in names if not name.isdigit()))
                raise InvalidInput(
                    f"lora.targets names {target!r}, which the model lacks; it has: {shown}"
                )

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how large the adapters are, how fast and how long they learn."""
        return {
            "rank": trial.suggest_int("rank", 2, 32, log=True),
            "alpha": trial.suggest_float("alpha", 4.0, 64.0, log=True),
            "lr": tuning_context.around(trial, cls, "lr", 10, 10),
            "steps": tuning_context.around(trial, cls, "steps", 4, 2),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Train adapters in float32 (peft's default) and merge them in the model's dtype."""
        # imported here: no other method needs peft
        from peft import get_peft_model

        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.23 for a name that it renames in 6
            warnings.filterwarnings(
                "ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning
            )
            adapted = get_peft_model(lm.model, self.config())
        adapters = [p for p in adapted.parameters() if p.requires_grad]
        pairs = [(edit.prompt, f" {edit.target}") for edit in data.edits]
        learner = LM(adapted, lm.tokenizer, lm.grids)
        train_on_answers(
            learner,
            pairs,
            adapters,
            steps=self.steps,
            lr=self.lr,
            after_step=lambda steps_done: report(self, steps_done, learner),
        )
        merged: Any = adapted.merge_and_unload()
        if hasattr(merged, "peft_config"):
            del merged.peft_config  # nothing of the adapters may stay behind
        return LM(merged, lm.tokenizer, lm.grids)

    def config(self) -> Any:
        """Return peft's configuration of the adapters."""
        from peft import AdaLoraConfig, LoraConfig

        common: dict[str, Any] = {
            "target_modules": list(self.targets),
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "task_type": "CAUSAL_LM",
        }
        if self.adaptive:
            # init_r == target_r: no rank is pruned, as in the paper's code
            return AdaLoraConfig(
                init_r=self.rank, target_r=self.rank, total_step=self.steps, **common
            )
        return LoraConfig(r=self.rank, **common)
