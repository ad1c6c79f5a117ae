"""GA: gradient ascent on the forget set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from interventions.anatomy import blocks
from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM, batches
from interventions.search_space import Trial, TuningContext

LEARNING_RATES = (1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3)  # Tables 6 and 7
SAMPLES = (10, 25, *range(50, 501, 50), 1000, 2000)  # printed as 10, 25, 50, 100, … 500, 1000, 2000


@dataclass(frozen=True)
class GA(Intervention, category="unlearning"):
    """Ascend the loss of the hazardous texts, one pass over ``samples`` of them.

    maximize  -log p(text)  per token; padding never counts.

    Source: Jang et al. 2023, "Knowledge Unlearning for Mitigating Privacy Risks", equation 1; the paper, section C.
    """

    lr: float = hyperparameter(3e-4, "learning rate of AdamW", paper=5e-5, above=0)
    samples: int = hyperparameter(
        160, "texts to forget, alternating between the domains", paper=50, low=1
    )
    batch: int = hyperparameter(4, "texts per step", low=1)
    last_layers: int = hyperparameter(6, "final blocks that are trained", paper=16, low=1)
    max_tokens: int = hyperparameter(64, "tokens of a text that are used", paper=512, low=2)
    reads = frozenset({"forget"})
    grid: ClassVar[Mapping[str, Sequence[Any]]] = {
        "lr": LEARNING_RATES,
        "samples": SAMPLES,
    }  # Table 6
    texts: ClassVar[Mapping[str, str]] = {"samples": "forget"}
    reports = True

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model has fewer blocks."""
        check_last_layers(model, self.last_layers, "ga.last_layers")

    @classmethod
    def suggest(cls, trial: Trial, room: TuningContext) -> dict[str, Any]:
        """How fast, on how much, how deep."""
        return {
            "lr": room.around(trial, cls, "lr", 30, 10),
            "samples": trial.suggest_int("samples", 8, min(room.texts("forget"), 2000), log=True),
            "last_layers": trial.suggest_int("last_layers", 1, room.layers),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Train the last blocks in place."""
        weights = last_weights(lm, self.last_layers)
        optimizer = torch.optim.AdamW(weights, lr=self.lr, weight_decay=0.0)
        steps = list(batches(data.forget[: self.samples], self.batch))
        for done, texts in enumerate(tqdm(steps, desc=self.name, unit="step", delay=5), start=1):
            loss = -text_loss(lm, texts, self.max_tokens)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            report(self, done, lm)
        return lm


def check_last_layers(model: PreTrainedModel, last_layers: int, what: str) -> None:
    """Raise InvalidInput if the model has fewer blocks."""
    have = len(blocks(model))
    if last_layers > have:
        raise InvalidInput(f"{what} is {last_layers}, but the model has {have} layers")


def last_weights(lm: LM, last_layers: int) -> list[torch.nn.Parameter]:
    """The weights of the final blocks, ready to be trained."""
    weights = [p for block in list(blocks(lm.model))[-last_layers:] for p in block.parameters()]
    for weight in weights:
        weight.requires_grad_(True)
    return weights


def text_loss(lm: LM, texts: Sequence[str], max_tokens: int) -> torch.Tensor:
    """Mean negative log-likelihood in nats over the tokens of the texts; padding does not count."""
    encoded = lm.encode(texts, max_tokens)
    losses, counted = lm.token_losses(encoded, lm.text_labels(encoded))
    return losses.sum() / counted.sum()
