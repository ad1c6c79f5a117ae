"""GD: gradient difference, ascent on the forget set against descent on the retain set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, ClassVar

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.hyperparameters import MOST_BATCH, MOST_TEXTS, MOST_TOKENS, hyperparameter
from interventions.lm import LM, batches
from interventions.loops import iterations
from interventions.master_weights import master_weights
from interventions.search_space import Trial, TuningContext
from interventions.training import add_gradients, characters
from interventions.unlearning.ga import (
    LEARNING_RATES,
    SAMPLES,
    check_last_layers,
    last_weights,
)


@dataclass(frozen=True)
class GD(Intervention, category="unlearning", version=3):
    """Ascend the loss of hazardous texts and descend that of texts to retain, in the same steps.

        minimize over the weights:  -L(forget) + retain_weight L(retain)
        L = mean over tokens of -log p(token | tokens before)

    by AdamW without weight decay, one pass over ``samples`` texts to forget, ``batch`` a step; the
    texts to retain, ``retain_batch`` a step, go round and round. Padding never counts. A step is
    the mean over ``accumulate`` such batches. Memory is that of GA.

    Source: Liu et al. 2022, "Continual Learning and Private Unlearning", section 4.1 (gradient
    difference as named by Maini et al. 2024, "TOFU", section 4.1); the paper, section C.

    Example:
        >>> str(GD(samples=50, retain_weight=40))
        'gd(samples=50, retain_weight=40.0)'
    """

    lr: float = hyperparameter(1e-3, "learning rate of AdamW", paper=5e-5, above=0, high=1e3)
    samples: int = hyperparameter(
        240, "texts to forget, alternating between the domains", paper=50, low=1, high=MOST_TEXTS
    )
    retain_weight: float = hyperparameter(
        10.0, "weight of the retain loss", paper=40.0, low=0, high=1e6
    )
    batch: int = hyperparameter(4, "texts to forget per step", low=1, high=MOST_BATCH)
    retain_batch: int = hyperparameter(
        16, "texts to retain per step", paper=4, low=1, high=MOST_BATCH
    )
    last_layers: int = hyperparameter(6, "final blocks that are trained", paper=16, low=1)
    max_tokens: int = hyperparameter(
        64, "tokens of a text that are used", paper=1024, low=2, high=MOST_TOKENS
    )
    accumulate: int = hyperparameter(
        1, "batches whose losses a step is the mean of", paper=2, low=1, high=MOST_BATCH
    )
    head: bool = hyperparameter(
        False, "train the final norm and the output head too (tied: the embedding with it)"
    )
    master_weights: bool = hyperparameter(True, "train float32 copies of weights of less precision")
    reads = frozenset({"forget", "retain"})
    grid: ClassVar[Mapping[str, Sequence[Any]]] = {  # Table 7
        "lr": LEARNING_RATES,
        "samples": SAMPLES,
        "retain_weight": (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0),
    }
    texts: ClassVar[Mapping[str, str]] = {"samples": "forget"}
    reports = True

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model has fewer blocks."""
        check_last_layers(model, self.last_layers, "gd.last_layers")

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest as GA does, and how much the texts to retain weigh, and how many there are."""
        most_samples = min(tuning_context.texts("forget"), 2000)
        return {
            "lr": tuning_context.around(trial, cls, "lr", 30, 10),
            "samples": trial.suggest_int("samples", 8, most_samples, log=True),
            "retain_weight": trial.suggest_float("retain_weight", 0.1, 100.0, log=True),
            "retain_batch": tuning_context.around(trial, cls, "retain_batch", 4, 4),
            "last_layers": trial.suggest_int("last_layers", 1, tuning_context.layers),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Train the last blocks in place."""
        weights = last_weights(lm, self.last_layers, self.head)
        retained = cycle(data.retain)
        steps = list(batches(data.forget[: self.samples], self.batch * self.accumulate))
        progress = tqdm(steps, desc=self.name, unit="step", delay=5)
        with master_weights(weights, copies=self.master_weights) as masters:
            # without temporary copies of all weights, which would not fit beside an 8B model
            optimizer = torch.optim.AdamW(
                masters.tensors, lr=self.lr, weight_decay=0.0, foreach=False
            )
            alike_steps = iterations(progress, characters)
            for steps_done, forgotten_texts in enumerate(alike_steps, start=1):
                optimizer.zero_grad()
                parts = list(batches(forgotten_texts, self.batch))
                for part in parts:
                    share = 1 / len(parts)
                    # each half is backpropagated by itself: only one graph is in memory
                    add_gradients(lm, part, self.max_tokens, -share)
                    retained_texts = list(islice(retained, self.retain_batch))
                    add_gradients(lm, retained_texts, self.max_tokens, self.retain_weight * share)
                optimizer.step()
                masters.round()
                report(self, steps_done, lm)
        return lm
