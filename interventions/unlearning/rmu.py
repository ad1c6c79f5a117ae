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

from interventions.anatomy import blocks, check_layers, down_projection, hidden_states
from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class RMU(Intervention, category="unlearning"):
    """Steer a layer's activations on hazardous texts to one random direction; hold those on other texts.

    minimize  ||h(forget) - steering u||^2 + alpha ||h(retain) - h_before(retain)||^2  (means over tokens and units),
    h the output of block ``layer``, u a random unit vector; the down-projections of blocks layer - 2 ... layer learn.

    Passes end at the layer. Of the model before, only the three trained matrices are kept.

    Source: Li et al. 2024, "The WMDP Benchmark", section 4 and algorithm 1.
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
    def suggest(cls, trial: Trial, room: TuningContext) -> dict[str, Any]:
        """Where, how far, how firmly the rest is held, and how long."""
        return {
            "layer": trial.suggest_int("layer", 2, room.layers - 1),
            "steering": room.around(trial, cls, "steering", 8, 8),
            "alpha": trial.suggest_float("alpha", 1.0, 10000.0, log=True),
            "steps": trial.suggest_int("steps", 50, 400),
            "lr": room.around(trial, cls, "lr", 10, 4),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Train the three down-projections in place, in their dtype."""
        weights = self.trained(lm)
        before = [weight.detach().clone() for weight in weights]
        for weight in weights:
            weight.requires_grad_(True)
        optimizer = torch.optim.AdamW(weights, lr=self.lr)
        direction = torch.rand(
            lm.model.config.hidden_size
        )  # uniform, as the authors' code draws it
        target = (self.steering * direction / direction.norm()).to(lm.device, weights[0].dtype)
        forget, retain = cycle(data.forget), cycle(data.retain)
        for done in tqdm(range(1, self.steps + 1), desc=self.name, unit="step", delay=5):
            hazardous = list(islice(forget, self.batch))
            encoded = lm.encode([*hazardous, *islice(retain, self.batch)], self.max_tokens)
            loss = self.loss(lm, encoded, len(hazardous), target, before)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            report(self, done, lm)
        return lm

    def trained(self, lm: LM) -> list[Tensor]:
        """The down-projections' weights of blocks layer - 2 ... layer."""
        return [
            down_projection(blocks(lm.model)[i]).weight
            for i in range(self.layer - 2, self.layer + 1)
        ]

    def loss(
        self, lm: LM, encoded: BatchEncoding, forgotten: int, target: Tensor, before: list[Tensor]
    ) -> Tensor:
        """The loss of one batch, of which the first ``forgotten`` rows are to forget; padding does not count.

        Args:
            lm: the model being trained.
            encoded: (rows, tokens).
            forgotten: how many rows are to forget.
            target: steering u, (hidden).
            before: the trained weights as they were.
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
    """While open, the weights have other values; no copy is made."""
    own = [weight.data for weight in weights]
    for weight, value in zip(weights, values, strict=True):
        weight.data = value
    try:
        yield
    finally:
        for weight, value in zip(weights, own, strict=True):
            weight.data = value
