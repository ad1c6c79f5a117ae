"""RMU: representation misdirection for unlearning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, ClassVar

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import BatchEncoding, PreTrainedModel

from interventions.anatomy import blocks, check_layers, down_projection
from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.partial_pass import hidden_states
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class RMU(Intervention, category="unlearning"):
    """Steer a layer's activations on hazardous texts to one random direction; hold all others.

        minimize over the weights:
            ||h(forget) - steering u||^2 + alpha ||h(retain) - h_before(retain)||^2

    with h (tokens, hidden) the output of block ``layer``, both terms means over tokens and units,
    and u a random unit vector with entries of one sign, drawn once. By AdamW with its default
    weight decay, 0.01, as the authors' code; the down-projections of blocks layer - 2, layer - 1
    and layer learn. Padding never counts.

    Departure, for memory and time: the authors keep a second, frozen model; here only the three
    trained matrices of before are kept, and swapped in for a moment. Passes end at the layer.

    Source: Li et al. 2024, "The WMDP Benchmark", section 4 and algorithm 1.

    Example:
        >>> str(RMU(layer=3, alpha=100))
        'rmu(layer=3, alpha=100.0)'
    """

    layer: int = hyperparameter(2, "block whose output is steered", paper=3, low=2)
    steering: float = hyperparameter(
        400.0, "length of the vector that is steered to", paper=20.0, above=0
    )
    alpha: float = hyperparameter(40.0, "weight of the retain loss", paper=1000.0, low=0)
    steps: int = hyperparameter(240, "gradient steps", paper=250, low=1)
    lr: float = hyperparameter(5e-3, "learning rate of AdamW", paper=5e-5, above=0)
    batch: int = hyperparameter(8, "texts to forget, and to retain, per step", paper=4, low=1)
    max_tokens: int = hyperparameter(64, "tokens of a text that are used", paper=512, low=2)
    reads = frozenset({"forget", "retain"})
    grid: ClassVar[Mapping[str, Sequence[Any]]] = {  # Table 5; its "maximum batches" are steps
        "alpha": (1.0, 10.0, 100.0, 1000.0, 10000.0),
        "layer": tuple(range(3, 18)),
        "steps": (100, 150, 200, 250, 300),
    }
    reports = True

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model lacks the layer."""
        check_layers(model, (self.layer,), "rmu.layer")

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest where to steer, how far, how firmly the rest is held, and how long to train."""
        return {
            "layer": trial.suggest_int("layer", 2, tuning_context.layers - 1),
            "steering": tuning_context.around(trial, cls, "steering", 8, 8),
            "alpha": trial.suggest_float("alpha", 1.0, 10000.0, log=True),
            "steps": trial.suggest_int("steps", 50, 400),
            "lr": tuning_context.around(trial, cls, "lr", 10, 4),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Train the three down-projections in place, in their dtype."""
        weights = self.trained(lm)
        before = [weight.detach().clone() for weight in weights]
        for weight in weights:
            weight.requires_grad_(True)
        optimizer = torch.optim.AdamW(weights, lr=self.lr)
        # uniform over [0, 1), as the authors' code draws it; on the CPU: every device gets the same
        direction = torch.rand(lm.model.config.hidden_size)
        target = (self.steering * direction / direction.norm()).to(lm.device, weights[0].dtype)
        forget, retain = cycle(data.forget), cycle(data.retain)
        progress = tqdm(range(1, self.steps + 1), desc=self.name, unit="step", delay=5)
        for steps_done in progress:
            hazardous = list(islice(forget, self.batch))
            # one batch for both: the pass with gradients runs once
            encoded = lm.encode([*hazardous, *islice(retain, self.batch)], self.max_tokens)
            loss = self.loss(lm, encoded, len(hazardous), target, before)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            report(self, steps_done, lm)
        return lm

    def trained(self, lm: LM) -> list[Tensor]:
        """Return the down-projections' weights of blocks layer - 2, layer - 1 and layer."""
        return [
            down_projection(blocks(lm.model)[i]).weight
            for i in range(self.layer - 2, self.layer + 1)
        ]

    def loss(
        self, lm: LM, encoded: BatchEncoding, forgotten: int, target: Tensor, before: list[Tensor]
    ) -> Tensor:
        """Return the loss of one batch; padding does not count.

        Args:
            lm: the model in training.
            encoded: (rows, tokens); first the texts to forget, then those to retain.
            forgotten: how many rows are to forget.
            target: steering u, (hidden).
            before: the trained weights as they were before the training.
        """
        real = encoded["attention_mask"].bool()
        retained = {key: value[forgotten:] for key, value in encoded.items()}
        with torch.no_grad(), _swapped(self.trained(lm), before):
            frozen = hidden_states(lm.model, retained, self.layer)
        now = hidden_states(lm.model, encoded, self.layer)
        away = (now[:forgotten] - target)[real[:forgotten]].float().square().mean()
        still = (now[forgotten:] - frozen)[real[forgotten:]].float().square().mean()
        return away + self.alpha * still


@contextmanager
def _swapped(weights: list[Tensor], values: list[Tensor]) -> Iterator[None]:
    """Give the weights other values while open; no copy is made."""
    trained_values = [weight.data for weight in weights]
    for weight, value in zip(weights, values, strict=True):
        weight.data = value
    try:
        yield
    finally:
        for weight, value in zip(weights, trained_values, strict=True):
            weight.data = value
