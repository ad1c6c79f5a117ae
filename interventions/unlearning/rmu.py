"""RMU: representation misdirection for unlearning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import BatchEncoding, PreTrainedModel

from interventions.anatomy import check_layers, text_config
from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.hyperparameters import MOST_BATCH, MOST_STEPS, MOST_TOKENS, hyperparameter
from interventions.lm import LM
from interventions.loops import iterations
from interventions.master_weights import master_weights
from interventions.padding import check_pads
from interventions.partial_pass import hidden_states
from interventions.search_space import Trial, TuningContext
from interventions.training import check_writers, readable, writers


@dataclass(frozen=True)
class RMU(Intervention, category="unlearning", version=2):
    """Steer a layer's activations on hazardous texts to random directions; hold all others.

        minimize over the weights:
            ||h(forget) - steering u||^2 + alpha ||h(retain) - h_before(retain)||^2

    with h (tokens, hidden) the output of block ``layer``, both terms means over tokens and units,
    and u a random unit vector with entries of one sign, drawn once for each topic of hazardous
    texts. Topics take turns: a step reads one batch of one topic, and a batch to retain. By AdamW
    with its default weight decay, 0.01, as the authors' code; the down-projections of blocks
    layer - 2, layer - 1 and layer learn, with experts those of all of them. Padding never counts.

    Departures: for memory and time, where the authors keep a second, frozen model, only the three
    trained matrices of before are kept, and swapped in for a moment, and passes end at the layer;
    all texts are cut to ``max_tokens``, where the authors' code takes 768 tokens of the second
    topic's. The authors train in the model's dtype, which is ``master_weights=False``.

    Source: Li et al. 2024, "The WMDP Benchmark", section 4 and algorithm 1, and its code,
    centerforaisafety/wmdp, ``rmu/unlearn.py``.

    Example:
        >>> str(RMU(layer=3, alpha=100))
        'rmu(layer=3, alpha=100.0)'
    """

    layer: int = hyperparameter(2, "block whose output is steered", paper=3, low=2)
    steering: float = hyperparameter(
        400.0, "length of the vector that is steered to", paper=20.0, above=0, high=1e6
    )
    alpha: float = hyperparameter(40.0, "weight of the retain loss", paper=1000.0, low=0, high=1e9)
    steps: int = hyperparameter(240, "gradient steps", paper=250, low=1, high=MOST_STEPS)
    lr: float = hyperparameter(5e-3, "learning rate of AdamW", paper=5e-5, above=0, high=1e3)
    batch: int = hyperparameter(
        8, "texts to forget, and to retain, per step", paper=4, low=1, high=MOST_BATCH
    )
    max_tokens: int = hyperparameter(
        64, "tokens of a text that are used", paper=512, low=2, high=MOST_TOKENS
    )
    master_weights: bool = hyperparameter(True, "train float32 copies of weights of less precision")
    reads = frozenset({"forget", "forget_topics", "retain"})
    grid: ClassVar[Mapping[str, Sequence[Any]]] = {  # Table 5; its "maximum batches" are steps
        "alpha": (1.0, 10.0, 100.0, 1000.0, 10000.0),
        "layer": tuple(range(3, 18)),
        "steps": (100, 150, 200, 250, 300),
    }
    reports = True

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model lacks the layer, or a trained matrix."""
        check_layers(model, (self.layer,), "rmu.layer")
        check_writers(model, self.trained_layers, "rmu.layer")

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
        """Train the three down-projections in place.

        Raises:
            InvalidInput: padding changes what the model predicts for a text.
        """
        weights = self.trained(lm)
        before = [weight.detach().clone() for weight in weights]
        hazards = topics(data.forget, len(data.forget_topics))
        # uniform over [0, 1), as the authors' code draws it; on the CPU: every device gets the same
        directions = [torch.rand(text_config(lm.model).hidden_size) for _ in hazards]
        targets = [
            (self.steering * direction / direction.norm()).to(lm.device) for direction in directions
        ]
        forget = [cycle(texts) for texts in hazards]
        # each topic goes through what is retained by itself
        retain = [cycle(data.retain) for _ in hazards]
        progress = tqdm(range(1, self.steps + 1), desc=self.name, unit="step", delay=5)
        tokens = readable(lm.model, self.max_tokens)
        first_texts = [*hazards[0][: self.batch], *data.retain[: self.batch]]
        check_pads(lm, lm.encode(first_texts, tokens), self.name)
        with master_weights(weights, copies=self.master_weights) as masters:
            optimizer = torch.optim.AdamW(masters.tensors, lr=self.lr)
            for steps_done in iterations(progress):
                topic = (steps_done - 1) % len(hazards)
                hazardous = list(islice(forget[topic], self.batch))
                # one batch for both: the pass with gradients runs once
                encoded = lm.encode([*hazardous, *islice(retain[topic], self.batch)], tokens)
                loss = self.loss(lm, encoded, len(hazardous), targets[topic], before)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                masters.round()
                report(self, steps_done, lm)
        return lm

    @property
    def trained_layers(self) -> range:
        """Return the blocks whose down-projections learn."""
        return range(self.layer - 2, self.layer + 1)

    def trained(self, lm: LM) -> list[nn.Parameter]:
        """Return the down-projections' weights of blocks layer - 2, layer - 1 and layer."""
        return writers(lm.model, self.trained_layers)

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
        # differences of numbers of less precision are taken in float32
        away = (now[:forgotten][real[:forgotten]].float() - target).square().mean()
        moved = now[forgotten:].float() - frozen.float()
        still = moved[real[forgotten:]].square().mean()
        return away + self.alpha * still


def topics(texts: Sequence[str], count: int) -> list[Sequence[str]]:
    """Return the texts of each topic; those of all topics alternate.

    Args:
        texts: one of the first topic, one of the second, and so on, round and round.
        count: of topics; 0 is 1.

    Example:
        >>> topics(("virus", "worm", "toxin", "exploit"), 2)
        [('virus', 'toxin'), ('worm', 'exploit')]
    """
    step = max(1, count)
    return [texts[first::step] for first in range(min(step, len(texts)))]


@contextmanager
def _swapped(weights: Sequence[Tensor], values: Sequence[Tensor]) -> Iterator[None]:
    """Give the weights other values while open; no copy is made."""
    trained_values = [weight.data for weight in weights]
    for weight, value in zip(weights, values, strict=True):
        weight.data = value
    try:
        yield
    finally:
        for weight, value in zip(weights, trained_values, strict=True):
            weight.data = value
