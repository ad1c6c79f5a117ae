"""MEMIT: many facts written into a few down-projections by a closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from interventions.base import Intervention
from interventions.base_model import load_base_model
from interventions.data.base import Data, Edit
from interventions.editing.second_moments import second_moments
from interventions.editing.stream import stream_gains
from interventions.editing.subject_memories import check_writable, moments_bytes, write_targets
from interventions.editing.subject_targets import TargetSearch, random_prefixes
from interventions.hyperparameters import MOST_BATCHES, MOST_STEPS, MOST_TEXTS, hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext, consecutive


@dataclass(frozen=True)
class MEMIT(Intervention, category="editing", version=4):
    """Find the state wanted at each edit's subject, and write these into the layers' memories.

    1. Targets (equation 16): z_i = h_i + d_i at the subject's last token in the last of ``layers``,
       where d_i minimizes

           -log p(target) + kl_factor KL(p(. | "<subject> is a") after || before)
           + weight_decay (||d_i|| / ||h_i||^2)

       by Adam, with ||d_i|| at most ``clamp`` ||h_i||; all edits of the batch in one loop.

    2. Update (equation 14 and algorithm 1), layer by layer, for the down-projection W (hidden, in):

           W += R K' (covariance C + K K')^-1

       with K (in, edits) its inputs at the subjects, C (in, in) their second moment over a corpus,
       and R (hidden, edits) what is missing to the targets, divided by the layers still to come,
       and by the number with which a block multiplies what its MLP writes, where it has one.

    The divergence is that of ROME, and the decay, the clamp and the end at a loss of 0.05 are those
    of the authors' code, as are prefixes that the model itself writes. Departures: C is, at
    full scale, over ``tokens_per_input`` times as many tokens as it has rows, not 100,000 texts;
    it is added up in float64, not float32.

    Source: Meng et al. 2023, "Mass-Editing Memory in a Transformer", equations 14, 16 and 20 and
    algorithm 1; Meng et al. 2022, "Locating and Editing Factual Associations in GPT" (ROME),
    equation 4.

    Example:
        >>> str(MEMIT(layers=(1, 2), covariance=15000))
        'memit(layers=(1, 2), covariance=15000.0)'
    """

    layers: tuple[int, ...] = hyperparameter((0,), "blocks that are edited", paper=(4, 5, 6, 7, 8))
    steps: int = hyperparameter(
        60, "gradient steps for the targets", paper=25, low=1, high=MOST_STEPS
    )
    lr: float = hyperparameter(
        0.4, "learning rate of Adam for the targets", paper=0.5, above=0, high=1e3
    )
    weight_decay: float = hyperparameter(1e-3, "weight of ||d|| / ||h||^2", low=0, high=1e6)
    kl_factor: float = hyperparameter(0.0625, "weight of the KL divergence", low=0, high=1e6)
    clamp: float = hyperparameter(4.0, "greatest ||d|| / ||h||", above=0, high=1e6)
    covariance: float = hyperparameter(
        200.0, "weight of the second moments", paper=15000.0, above=0, high=1e9
    )
    samples: int = hyperparameter(
        3000, "texts for the second moments", paper=100000, low=1, high=MOST_TEXTS
    )
    tokens_per_input: float = hyperparameter(
        0.0,
        "tokens for the second moments, for each input of a down-projection; 0: all of the texts'",
        paper=40.0,
        low=0,
        high=1e6,
    )
    statistics: Literal["current", "base"] = hyperparameter(
        "current",
        "whose second moments: the model's as it is, or the base model's, taken once for all steps"
        " before",
    )
    prefixes: int = hyperparameter(
        0, "random texts put before each prompt, beside none", paper=5, low=0, high=100
    )
    prefix_tokens: int = hyperparameter(10, "length of these texts", low=1, high=1000)
    batch_offset: int = hyperparameter(
        0, "batches of edits after the run's: 1 writes the next one", low=0, high=MOST_BATCHES
    )
    reads = frozenset({"edits", "statistics"})
    batch_field = "batch_offset"
    texts: ClassVar[Mapping[str, str]] = {"samples": "statistics"}
    earlier: ClassVar[Mapping[int, Mapping[str, Any]]] = {
        2: {"tokens_per_input": 0.0, "statistics": "current"},
        4: {"batch_offset": 0},
    }

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model lacks a layer, or MEMIT cannot write into it."""
        check_writable(model, self.layers, self.name)

    def stored_bytes(self, model: PreTrainedModel) -> int:
        """Return what the second moments take, float64."""
        return moments_bytes(model, self.layers)

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest where to edit, how targets are searched, and how firmly the rest is held."""
        return {
            "layers": consecutive(trial, tuning_context),
            "steps": tuning_context.around(trial, cls, "steps", 3, 2),
            "lr": tuning_context.around(trial, cls, "lr", 4, 4),
            "covariance": tuning_context.around(trial, cls, "covariance", 20, 20),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Edit in place; the closed form is computed in float64."""
        gains = stream_gains(lm, self.layers, self.name)
        texts = data.statistics[: self.samples]
        measured = lm if self.statistics == "current" else load_base_model(self.name)
        moments = second_moments(measured, texts, self.layers, self.tokens_per_input)
        del measured  # a base model of its own is not needed any more
        prefixes = random_prefixes(lm, self.prefixes, self.prefix_tokens)
        targets = self.targets(lm, data.edits, prefixes)

        def change_of_layer(layer: int, missing: Tensor, keys: Tensor) -> Tensor:
            moment = moments.pop(layer).to(lm.device)  # one at a time: 1.6 GB for 14,336 inputs
            return closed_form_change(missing, keys, moment, self.covariance)

        write_targets(lm, data.edits, targets, gains, prefixes, change_of_layer)
        return lm

    def targets(self, lm: LM, edits: Sequence[Edit], prefixes: Sequence[str] = ("",)) -> Tensor:
        """Return the hidden states z (edits, hidden) wanted at the subjects, in float32.

        Args:
            lm: the model; not changed.
            edits: optimized by the passful, but with the result that each would have alone.
            prefixes: what stands before the prompts; the first is empty.
        """
        search = TargetSearch(
            layer=max(self.layers),
            steps=self.steps,
            lr=self.lr,
            weight_decay=self.weight_decay,
            kl_factor=self.kl_factor,
            clamp=self.clamp,
            name=self.name,
        )
        return search.targets(lm, edits, prefixes)


def closed_form_change(missing: Tensor, keys: Tensor, moment: Tensor, covariance: float) -> Tensor:
    """Return the change (hidden, in) of a down-projection, R K' (covariance C + K K')^-1, float64.

    Args:
        missing: R' (edits, hidden).
        keys: K (in, edits).
        moment: C (in, in).
        covariance: its weight.

    Source: Meng et al. 2023, equation 14.

    Example:
        >>> keys = torch.tensor([[1.0], [0.0]])
        >>> closed_form_change(torch.tensor([[2.0]]), keys, torch.eye(2), 1.0).round(decimals=3)
        tensor([[1., 0.]], dtype=torch.float64)
    """
    k = keys.double()
    system = (moment.double() * covariance).addmm_(k, k.T)
    # a pruned model has inputs that are always 0: keep the system solvable
    system.diagonal().add_(1e-12 * system.diagonal().mean())
    # the system is symmetric, so that R K' S^-1 is R (S^-1 K)'
    return missing.double().T @ torch.linalg.solve(system, k).T
