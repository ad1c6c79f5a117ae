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

# the paper's grids, Tables 6 and 7; SAMPLES is printed as 10, 25, 50, 100, … 500, 1000, 2000
LEARNING_RATES = (1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3)
SAMPLES = (10, 25, *range(50, 501, 50), 1000, 2000)


@dataclass(frozen=True)
class GA(Intervention, category="unlearning"):
    """Ascend the loss of the hazardous texts, in one pass over ``samples`` of them.

        maximize over the weights:  mean over tokens of -log p(token | tokens before)

    by AdamW without weight decay, ``batch`` texts a step in the order of the data, on the weights
    of the last ``last_layers`` blocks. Padding never counts. Departure, as in the paper: a number
    of texts ends the training, not a level of forgetting.

    Source: Jang et al. 2023, "Knowledge Unlearning for Mitigating Privacy Risks", equation 1; the
    paper, section C.

    Example:
        >>> str(GA(samples=50, last_layers=2))
        'ga(samples=50, last_layers=2)'
    """

    lr: float = hyperparameter(3e-4, "learning rate of AdamW", paper=5e-5, above=0)
    samples: int = hyperparameter(
        160, "texts to forget, alternating between the domains", paper=50, low=1
    )
    batch: int = hyperparameter(4, "texts per step", low=1)
    last_layers: int = hyperparameter(6, "final blocks that are trained", paper=16, low=1)
    max_tokens: int = hyperparameter(64, "tokens of a text that are used", paper=512, low=2)
    reads = frozenset({"forget"})
    grid: ClassVar[Mapping[str, Sequence[Any]]] = {  # Table 6
        "lr": LEARNING_RATES,
        "samples": SAMPLES,
    }
    texts: ClassVar[Mapping[str, str]] = {"samples": "forget"}
    reports = True

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model has fewer blocks."""
        check_last_layers(model, self.last_layers, "ga.last_layers")

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how fast, on how many texts, and in how many blocks to train."""
        most_samples = min(tuning_context.texts("forget"), 2000)
        return {
            "lr": tuning_context.around(trial, cls, "lr", 30, 10),
            "samples": trial.suggest_int("samples", 8, most_samples, log=True),
            "last_layers": trial.suggest_int("last_layers", 1, tuning_context.layers),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Train the last blocks in place."""
        weights = last_weights(lm, self.last_layers)
        optimizer = torch.optim.AdamW(weights, lr=self.lr, weight_decay=0.0)
        steps = list(batches(data.forget[: self.samples], self.batch))
        progress = tqdm(steps, desc=self.name, unit="step", delay=5)
        for steps_done, texts in enumerate(progress, start=1):
            loss = -text_loss(lm, texts, self.max_tokens)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            report(self, steps_done, lm)
        return lm


def check_last_layers(model: PreTrainedModel, last_layers: int, parameter: str) -> None:
    """Raise InvalidInput if the model has fewer blocks than ``last_layers``.

    Args:
        model: its weights may be on the meta device.
        last_layers: how many final blocks are to be trained.
        parameter: what the user calls that number, such as "ga.last_layers".
    """
    count = len(blocks(model))
    if last_layers > count:
        raise InvalidInput(f"{parameter} is {last_layers}, but the model has {count} layers")


def last_weights(lm: LM, last_layers: int) -> list[torch.nn.Parameter]:
    """Return the weights of the final blocks, with their gradients switched on."""
    weights = [p for block in list(blocks(lm.model))[-last_layers:] for p in block.parameters()]
    for weight in weights:
        weight.requires_grad_(True)
    return weights


def text_loss(lm: LM, texts: Sequence[str], max_tokens: int) -> torch.Tensor:
    """Return the mean negative log-likelihood, in nats, over the tokens of all texts.

    Padding and the first token of a text do not count. A long text weighs more than a short one.

    Args:
        lm: the model.
        texts: one batch.
        max_tokens: tokens of a text that are used.
    """
    encoded = lm.encode(texts, max_tokens)
    losses, counted = lm.token_losses(encoded, lm.text_labels(encoded))
    return losses.sum() / counted.sum()
