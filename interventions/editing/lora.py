"""LoRA: low-rank adapters trained on the new answers, then merged into the weights (peft)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.editing.ft import fit
from interventions.errors import InvalidInput
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class LoRA(Intervention, category="editing"):
    """Train adapters W + (alpha / rank) B A on the new answers, all edits of a batch at once, and merge them.

    With ``adaptive=True`` the adapters are AdaLoRA's P diag(lambda) Q, as in the paper, section C.

    Source: Hu et al. 2022, "LoRA", equation 3; Zhang et al. 2023, "AdaLoRA", equation 3; the code is peft's.
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
                shown = ", ".join(sorted(n for n in names if not n.isdigit()))
                raise InvalidInput(
                    f"lora.targets names {target!r}, which the model lacks; it has: {shown}"
                )

    @classmethod
    def suggest(cls, trial: Trial, room: TuningContext) -> dict[str, Any]:
        """How large, how fast, how long."""
        return {
            "rank": trial.suggest_int("rank", 2, 32, log=True),
            "alpha": trial.suggest_float("alpha", 4.0, 64.0, log=True),
            "lr": room.around(trial, cls, "lr", 10, 10),
            "steps": room.around(trial, cls, "steps", 4, 2),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Adapters train in float32 (peft's default) and are merged in the model's dtype."""
        from peft import get_peft_model

        with (
            warnings.catch_warnings()
        ):  # peft 0.21 asks transformers 5.23 for a name that it renames in 6
            warnings.filterwarnings(
                "ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning
            )
            adapted = get_peft_model(lm.model, self.config())
        trained = [p for p in adapted.parameters() if p.requires_grad]
        pairs = [(edit.prompt, f" {edit.target}") for edit in data.edits]
        learner = LM(adapted, lm.tokenizer, lm.grids)
        fit(learner, pairs, trained, self.steps, self.lr, lambda done: report(self, done, learner))
        merged: Any = adapted.merge_and_unload()
        if hasattr(merged, "peft_config"):
            del merged.peft_config
        return LM(merged, lm.tokenizer, lm.grids)

    def config(self) -> Any:
        """Peft's configuration."""
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
