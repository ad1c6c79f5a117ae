"""AlphaEdit: facts written where a corpus has no keys, batch after batch."""

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
from interventions.errors import InvalidInput
from interventions.hyperparameters import (
    MOST_BATCHES,
    MOST_STEPS,
    MOST_TEXTS,
    hyperparameter,
)
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext, consecutive
from interventions.step_metrics import record_metric


@dataclass(frozen=True)
class AlphaEdit(Intervention, category="editing"):
    """Write as MEMIT does, but only along directions in which a corpus has next to no keys.

    The targets z, the keys K (in, edits), what is missing R (hidden, edits) and its spread over
    layers are MEMIT's. Of each layer the down-projection W (hidden, in) changes by D, which solves

        (P (K K' + K1 K1') + ridge I) D' = P K R'

    with K1 (in, earlier edits) the keys that AlphaEdit steps before have written into the layer,
    and P = U U' of the eigenvectors U of the corpus's second moments (in, in) whose eigenvalues are
    below ``threshold``. So D k is next to 0 for a corpus's key k, and small for an earlier edit's.

    The keys travel with the model (``LM.edited_keys``, a file in its checkpoints): several batches
    are written by ``alphaedit | alphaedit(batch_offset=1)``, with other steps between them or not.
    A step between them changes the keys that the edits have now; those of when they were written
    count. What other editors have written is in no K1.

    Departures from the authors' code: second moments are added up, and the system is solved, in
    float64; in the authors' code K1 is read again after the last layer, which gives the same, since
    a layer's keys depend on layers before it alone; C is over ``tokens_per_input`` times as many
    tokens as it has rows, not 100,000 texts. With weights in bfloat16, D is rounded to them, and
    what the rounding takes is no longer orthogonal to the corpus's keys.

    Source: Fang et al. 2025, "AlphaEdit: Null-Space Constrained Knowledge Editing for Language
    Models", equations 5, 6 and 14, section 3; github.com/jianghoucheng/AlphaEdit.

    Example:
        >>> str(AlphaEdit(layers=(1, 2), batch_offset=1))
        'alphaedit(layers=(1, 2), batch_offset=1)'
    """

    layers: tuple[int, ...] = hyperparameter((0,), "blocks that are edited", paper=(4, 5, 6, 7, 8))
    steps: int = hyperparameter(
        60, "gradient steps for the targets", paper=25, low=1, high=MOST_STEPS
    )
    lr: float = hyperparameter(
        0.4, "learning rate of Adam for the targets", paper=0.1, above=0, high=1e3
    )
    weight_decay: float = hyperparameter(
        1e-3, "weight of ||d|| / ||h||^2", paper=0.5, low=0, high=1e6
    )
    kl_factor: float = hyperparameter(0.0625, "weight of the KL divergence", low=0, high=1e6)
    clamp: float = hyperparameter(0.75, "greatest ||d|| / ||h||", above=0, high=1e6)
    threshold: float = hyperparameter(
        0.2, "second moments below it are the null space", paper=2e-2, above=0, high=1e9
    )
    ridge: float = hyperparameter(
        4.0, "weight of the change's size: lambda", paper=10.0, above=0, high=1e9
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
        "whose second moments: the model's as it is, or the base model's, taken once for all"
        " batches",
        paper="base",
    )
    prefixes: int = hyperparameter(
        0, "random texts put before each prompt, beside none", paper=5, low=0, high=100
    )
    prefix_tokens: int = hyperparameter(10, "length of these texts", low=1, high=1000)
    batch_offset: int = hyperparameter(
        0, "batches of edits after the run's: 1 writes the next one", low=0, high=MOST_BATCHES
    )
    reads = frozenset({"edits", "statistics"})
    texts: ClassVar[Mapping[str, str]] = {"samples": "statistics"}
    batch_field = "batch_offset"

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model lacks a layer, or AlphaEdit cannot write into it."""
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
            "clamp": tuning_context.around(trial, cls, "clamp", 4, 4),
            "threshold": tuning_context.around(trial, cls, "threshold", 20, 20),
            "ridge": tuning_context.around(trial, cls, "ridge", 20, 20),
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
        shares: list[float] = []

        def change_of_layer(layer: int, missing: Tensor, keys: Tensor) -> Tensor:
            moment = moments.pop(layer).to(lm.device)  # one at a time: 1.6 GB for 14,336 inputs
            null_space = self._null_space(moment, layer)
            shares.append(null_space.shape[1] / len(null_space))
            earlier = self._earlier_keys(lm, layer, keys)
            lm.edited_keys[layer] = torch.cat([earlier, keys], dim=1)
            return null_space_change(missing, keys, earlier, null_space, self.ridge)

        write_targets(lm, data.edits, targets, gains, prefixes, change_of_layer)
        record_metric("alphaedit/null_space", sum(shares) / len(shares))
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

    def _null_space(self, moment: Tensor, layer: int) -> Tensor:
        """Return U (in, directions) of a layer, float64.

        Raises:
            InvalidInput: there is none, so that nothing could be written.
        """
        sizes, vectors = torch.linalg.eigh(moment.double())
        if moment.device.type == "meta":  # a rehearsal, which takes as much as there can be
            return vectors
        null_space = vectors[:, sizes < self.threshold]
        if not null_space.shape[1]:
            raise InvalidInput(
                f"alphaedit.threshold is {self.threshold:g}, but no direction of the inputs of"
                f" block {layer}'s down-projection has a second moment below {float(sizes[0]):.3g}:"
                " nothing could be written; raise it"
            )
        return null_space

    def _earlier_keys(self, lm: LM, layer: int, keys: Tensor) -> Tensor:
        """Return K1 (in, earlier edits) of a layer.

        Raises:
            InvalidInput: the keys that came with the model are of another shape.
        """
        earlier = lm.edited_keys.get(layer, keys[:, :0])
        if len(earlier) != len(keys):
            raise InvalidInput(
                f"alphaedit cannot go on: the keys of earlier edits that came with the model have"
                f" {len(earlier)} inputs at block {layer}, but its down-projection has {len(keys)}"
            )
        return earlier.to(keys.device)


def null_space_change(
    missing: Tensor, keys: Tensor, earlier: Tensor, null_space: Tensor, ridge: float
) -> Tensor:
    """Return the change D (hidden, in) of a down-projection, float64.

    D lies in the range of P = U U'. With A = U' [K, K1] and E' = [I, 0], it is (U Y)' where

        (A A' + ridge I) Y = A E R',  or, the same,  Y = A (A' A + ridge I)^-1 E R'

    of which that one is solved whose system is smaller: by directions, or by edits.

    Args:
        missing: R' (edits, hidden).
        keys: K (in, edits).
        earlier: K1 (in, earlier edits).
        null_space: U (in, directions), orthonormal.
        ridge: above 0.

    Source: Fang et al. 2025, equation 14.

    Example:
        >>> keys, earlier = torch.tensor([[1.0], [1.0]]), torch.zeros(2, 0)
        >>> along_first = torch.tensor([[1.0], [0.0]])
        >>> null_space_change(torch.tensor([[2.0]]), keys, earlier, along_first, 1.0)
        tensor([[1., 0.]], dtype=torch.float64)
    """
    u, count = null_space.double(), keys.shape[1]
    a = u.T @ torch.cat([keys, earlier], dim=1).double()  # (directions, all edits)
    is_dual = a.shape[1] <= a.shape[0]
    system = a.T @ a if is_dual else a @ a.T
    system.diagonal().add_(ridge)
    if is_dual:
        wanted = missing.new_zeros(len(system), missing.shape[1], dtype=torch.float64)
        wanted[:count] = missing.double()
        y = a @ torch.linalg.solve(system, wanted)
    else:
        y = torch.linalg.solve(system, a[:, :count] @ missing.double())
    return (u @ y).T
