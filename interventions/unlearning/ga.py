"""GA: gradient ascent on the forget set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel

from interventions.anatomy import blocks, check_anatomy
from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.hyperparameters import MOST_BATCH, MOST_TEXTS, MOST_TOKENS, hyperparameter
from interventions.lm import LM, batches
from interventions.loops import iterations
from interventions.master_weights import master_weights
from interventions.search_space import Trial, TuningContext
from interventions.training import add_gradients, block_weights, characters

# the paper's grids, Tables 6 and 7; SAMPLES is printed as 10, 25, 50, 100, … 500, 1000, 2000
LEARNING_RATES = (1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3)
SAMPLES = (10, 25, *range(50, 501, 50), 1000, 2000)


@dataclass(frozen=True)
class GA(Intervention, category="unlearning", version=3):
    """Ascend the loss of the hazardous texts, in one pass over ``samples`` of them.

        maximize over the weights:  mean over tokens of -log p(token | tokens before)

    by AdamW without weight decay, ``batch`` texts a step in the order of the data, or the mean over
    ``accumulate`` such batches, on the weights of the last ``last_layers`` blocks; experts learn,
    their routers do not. Padding never counts. Departure, as in the paper: a number of texts ends
    the training, not a level of forgetting.

    Of 8B parameters, half of them trained (the paper's profile), float32 copies take 13 GiB, Adam
    26 and the gradients 13; with ``master_weights=False``, as the paper's code, 0, 13 and 6.5.

    Source: Jang et al. 2023, "Knowledge Unlearning for Mitigating Privacy Risks", equation 1; the
    paper, section C. Batches and lengths are those of the paper's code (its text does not say);
    that also trains the final norm and the output head (``head=True``), of which the text says
    nothing, and leaves out the texts of the last, incomplete step.

    Example:
        >>> str(GA(samples=50, last_layers=2))
        'ga(samples=50, last_layers=2)'
    """

    lr: float = hyperparameter(3e-4, "learning rate of AdamW", paper=5e-5, above=0, high=1e3)
    samples: int = hyperparameter(
        160, "texts to forget, alternating between the domains", paper=50, low=1, high=MOST_TEXTS
    )
    batch: int = hyperparameter(4, "texts per step", low=1, high=MOST_BATCH)
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
        weights = last_weights(lm, self.last_layers, self.head)
        steps = list(batches(data.forget[: self.samples], self.batch * self.accumulate))
        progress = tqdm(steps, desc=self.name, unit="step", delay=5)
        with master_weights(weights, copies=self.master_weights) as masters:
            # without temporary copies of all weights, which would not fit beside an 8B model
            optimizer = torch.optim.AdamW(
                masters.tensors, lr=self.lr, weight_decay=0.0, foreach=False
            )
            for steps_done, texts in enumerate(iterations(progress, characters), start=1):
                optimizer.zero_grad()
                parts = list(batches(texts, self.batch))
                for part in parts:
                    add_gradients(lm, part, self.max_tokens, -1 / len(parts))
                optimizer.step()
                masters.round()
                report(self, steps_done, lm)
        return lm


def check_last_layers(model: PreTrainedModel, last_layers: int, parameter: str) -> None:
    """Raise InvalidInput if the model has fewer blocks than ``last_layers``, or unknown weights.

    Args:
        model: its weights may be on the meta device.
        last_layers: how many final blocks are to be trained.
        parameter: what the user calls that number, such as "ga.last_layers".
    """
    count = len(blocks(model))
    if last_layers > count:
        raise InvalidInput(f"{parameter} is {last_layers}, but the model has {count} layers")
    check_anatomy(model)


def last_weights(lm: LM, last_layers: int, head: bool = False) -> list[nn.Parameter]:
    """Return the weights of the final blocks, without those of routers.

    Args:
        lm: the model.
        last_layers: how many final blocks.
        head: whether the final norm's and the output head's are among them.
    """
    decoder_blocks = list(blocks(lm.model))[-last_layers:]
    weights = [weight for block in decoder_blocks for weight in block_weights(block)]
    if head:
        weights += _head_weights(lm.model)
    # a parameter that blocks share is stepped once
    return list({id(weight): weight for weight in weights}.values())


def _head_weights(model: PreTrainedModel) -> list[nn.Parameter]:
    """Return the parameters of the final norm and of the output head."""
    norms = [
        module
        for name, module in model.get_decoder().named_children()
        # BLOOM has a norm after its embedding too
        if "norm" in type(module).__name__.lower() and "embed" not in name
    ]
    return [
        weight
        for module in (*norms, model.get_output_embeddings())
        for weight in module.parameters()
    ]
