"""LoRA: low-rank adapters trained on the new answers, then merged into the weights (peft)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.anatomy import check_anatomy
from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.editing.ft import train_on_answers
from interventions.errors import InvalidInput, shown
from interventions.hyperparameters import MOST_STEPS, hyperparameter
from interventions.lm import LM
from interventions.lora_targets import MLP, QUERY_VALUE, find_targets
from interventions.low_rank import adapt, low_rank_config, merged, trainable
from interventions.search_space import Trial, TuningContext

MOST_RANK = 65_536  # the widest layers of today's open models have a smaller side below


@dataclass(frozen=True)
class LoRA(Intervention, category="editing", version=3):
    """Train low-rank adapters on the new answers of a batch of edits, and merge them.

    For each adapted weight W (out, in), with A (rank, in) random and B (out, rank) zero at first:

        W' = W + (alpha / rank) B A                                        (LoRA, equation 3)
        W' = W + (alpha / r) P diag(lambda) Q, r = initial_rank            (AdaLoRA, equation 3)

    The second is that of ``adaptive=True``, as in the paper, section C. The loss is the mean over
    target tokens of -log p, all edits of the batch at once, by Adam; AdaLoRA adds

        orthogonality x mean over P, Q of ||P'P - I||, ||QQ' - I||         (AdaLoRA, equation 4)

    AdaLoRA starts with ``initial_rank``, and with ``allocate=True`` ends with ``rank`` on average
    over layers. The paper's code, which runs EasyEdit's, never allocates, so that ``initial_rank``
    stays; so does the default here.

    The adapters are trained in float32 whatever the model's dtype, and the sum is rounded once.

    Source: Hu et al. 2022, "LoRA", equation 3; Zhang et al. 2023, "AdaLoRA", equations 3 and 4; the
    code is peft's.

    Example:
        >>> str(LoRA(rank=4, targets=("q_proj", "v_proj")))
        "lora(rank=4, targets=('q_proj', 'v_proj'))"
    """

    rank: int = hyperparameter(8, "rank of the adapters", low=1, high=MOST_RANK)
    alpha: float = hyperparameter(32.0, "scale of the adapters: alpha / rank", above=0, high=1e6)
    lr: float = hyperparameter(1e-3, "learning rate of Adam", paper=5e-3, above=0, high=1e3)
    steps: int = hyperparameter(40, "gradient steps", paper=70, low=1, high=MOST_STEPS)
    targets: tuple[str, ...] = hyperparameter(
        (MLP,),
        "names of the adapted linear layers; mlp: all of the MLPs; query_value: those of attention"
        " that compute queries and values",
        paper=(QUERY_VALUE,),
    )
    dropout: float = hyperparameter(0.0, "dropout on the adapters' input", low=0, below=1)
    adaptive: bool = hyperparameter(False, "AdaLoRA instead of LoRA", paper=True)
    initial_rank: int | None = hyperparameter(
        None, "AdaLoRA's rank at first; None: 1.5 x rank, as its authors", low=1, high=MOST_RANK
    )
    orthogonality: float = hyperparameter(
        0.5, "weight of AdaLoRA's orthogonality penalty", low=0, high=1e6
    )
    allocate: bool = hyperparameter(
        False, "take AdaLoRA's ranks down to rank on average, step by step"
    )
    reads = frozenset({"edits"})
    reports = True

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if targets are no linear layers, or ranks do not fit them."""
        check_anatomy(model)
        targets = find_targets(model, self.targets)
        beyond_peft = targets.fused if self.adaptive else targets.parameters
        if beyond_peft and (self.adaptive or self.dropout > 0):
            field = "adaptive=True" if self.adaptive else f"dropout={shown(self.dropout)}"
            raise InvalidInput(
                f"lora.{field} cannot adapt {beyond_peft[0]}, as the family has fused experts;"
                f" name other targets, such as {QUERY_VALUE!r}"
            )
        field = "initial_rank" if self.adaptive and self.initial_rank is not None else "rank"
        if self.first_rank > targets.greatest_rank:
            most = targets.greatest_rank
            raise InvalidInput(
                f"lora.{field} must be at most {most}, the smaller side of the adapted layers,"
                f" but got {shown(getattr(self, field))}{self._rank_in_words(field)}"
            )
        if self.adaptive and self.allocate and self.first_rank <= self.rank:
            raise InvalidInput(
                f"lora.initial_rank must be greater than lora.rank={self.rank}, to which"
                f" allocate=True takes it down, but got {self.first_rank}"
            )

    def _rank_in_words(self, field: str) -> str:
        by_default = self.adaptive and field == "rank"
        return f", with which AdaLoRA starts at {self.first_rank}" if by_default else ""

    @property
    def first_rank(self) -> int:
        """Return the adapters' rank at the beginning of the training."""
        if not self.adaptive:
            return self.rank
        return self.initial_rank or self.rank * 3 // 2

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how large the adapters are, how fast and how long they learn."""
        targets = find_targets(tuning_context.model, tuning_context.default(cls, "targets"))
        most_rank = targets.greatest_rank
        if tuning_context.default(cls, "adaptive"):
            most_rank = most_rank * 2 // 3
        return {
            "rank": trial.suggest_int("rank", 2, max(2, min(32, most_rank)), log=True),
            "alpha": trial.suggest_float("alpha", 4.0, 64.0, log=True),
            "lr": tuning_context.around(trial, cls, "lr", 10, 10),
            "steps": tuning_context.around(trial, cls, "steps", 4, 2),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Train adapters in float32, and merge them in the model's dtype."""
        adapted = adapt(lm.model, self.config(lm.model))

        def after_step(steps_done: int) -> None:
            if self.adaptive and self.allocate:
                adapted.base_model.update_and_allocate(steps_done)
            report(self, steps_done, lm)

        # peft puts the adapters into the model itself
        train_on_answers(
            lm,
            [(edit.prompt, f" {edit.target}") for edit in data.edits],
            trainable(adapted),
            steps=self.steps,
            lr=self.lr,
            penalty=self._penalty(adapted),
            after_step=after_step,
        )
        return replace(lm, model=merged(adapted))

    def _penalty(self, adapted: nn.Module) -> Callable[[], Tensor] | None:
        if not self.adaptive or self.orthogonality == 0:
            return None
        # peft adds it to the loss that the model returns, and ours is computed from its logits
        return lambda: self.orthogonality * orthogonality(adapted)

    def config(self, model: PreTrainedModel) -> Any:
        """Return peft's configuration of the adapters of a model."""
        targets = find_targets(model, self.targets)
        if not self.adaptive:
            return low_rank_config(targets, self.rank, self.alpha, self.dropout)
        # imported here: no other method needs peft
        from peft import AdaLoraConfig

        return AdaLoraConfig(
            init_r=self.first_rank,
            target_r=self.rank,
            total_step=self.steps,
            orth_reg_weight=self.orthogonality,
            target_modules=targets.layers,
            fan_in_fan_out=targets.transposed,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            task_type="CAUSAL_LM",
        )


def orthogonality(adapted: nn.Module) -> Tensor:
    """Return how far AdaLoRA's factors are from orthogonal: the mean of ||P'P - I||, ||QQ' - I||.

    Source: Zhang et al. 2023, "AdaLoRA", equation 4, as in peft: without the square.

    Args:
        adapted: a model with AdaLoRA's adapters.
    """
    distances = []
    for name, factor in adapted.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            product = factor @ factor.T if "lora_A" in name else factor.T @ factor
            distances.append(torch.norm(product - torch.eye(len(product), device=factor.device)))
    return torch.stack(distances).mean()
