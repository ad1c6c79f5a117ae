"""SparseGPT: pruning that makes up for every removed weight in those that stay."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.anatomy import block_linears, linears
from interventions.base import Intervention
from interventions.compression import backends, obs
from interventions.compression.calibration import (
    Inputs,
    by_inputs,
    calibrated_blocks,
    input_statistics,
)
from interventions.compression.sparsity import (
    Pattern,
    check_pattern,
    check_width,
    is_pruned,
    lowest,
    lowest_per_row,
    parts,
)
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class SparseGPT(Intervention, category="compression"):
    """Remove the weights whose loss, made up for by the others of their row, costs the layer's output least.

    score(i, j) = w_ij^2 / U_jj^2  with U'U the inverse of the damped Hessian X X'; columns are settled from left to
    right, in blocks of 128 of which each loses its lowest scores, and later columns absorb the error (obs.sweep).

    Source: Frantar and Alistarh 2023, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot",
    algorithm 1, with adaptive mask selection (section 3.3).
    """

    sparsity: float = hyperparameter(
        0.5, "share of the weights to remove", paper=0.25, low=0, below=1
    )
    pattern: Pattern = hyperparameter(
        "unstructured", "or zeros in every consecutive inputs: 2:4, 4:8"
    )
    damp: float = hyperparameter(0.01, "share of the Hessian's mean diagonal added to it", above=0)
    samples: int = hyperparameter(128, "calibration texts", low=1)
    backend: Literal["own", "llmcompressor"] = hyperparameter("own", "whose code prunes")
    strength = "sparsity"
    reads = frozenset({"calibration"})

    def __post_init__(self) -> None:
        """Check the fields; raises InvalidInput."""
        super().__post_init__()
        check_pattern(self.name, self.pattern, self.sparsity)

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the pattern does not divide a layer's inputs, or the backend is not installed."""
        check_width(self.name, self.pattern, block_linears(model))
        if self.backend != "own":
            backends.require(self.backend)

    @classmethod
    def suggest(cls, trial: Trial, room: TuningContext) -> dict[str, Any]:
        """How much, and how the Hessian is damped."""
        return {
            "sparsity": trial.suggest_float("sparsity", 0.1, 0.9),
            "damp": room.around(trial, cls, "damp", 10, 10),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Prune in place; layers that share their inputs are swept together."""
        texts = data.calibration[: self.samples]
        if self.backend == "llmcompressor":
            same = {"sparsity": self.sparsity, "pattern": self.pattern, "damp": self.damp}
            return backends.llmcompressor(lm, texts, method="sparsegpt", **same)
        for block, observe in calibrated_blocks(lm, texts):
            by_inputs(
                input_statistics(observe), functools.partial(self._prune, dict(linears(block)))
            )
        return lm

    def _prune(self, inside: dict[str, nn.Linear], names: list[str], inputs: Inputs) -> None:
        weights = [inside[name].weight for name in names]
        for weight, pruned in zip(weights, self.prune(weights, inputs.gram), strict=True):
            weight.copy_(pruned)

    def prune(self, weights: list[Tensor], gram: Tensor) -> list[Tensor]:
        """The pruned weights (out, in) of layers that share the inputs whose Hessian is ``gram`` (in, in)."""
        rows = [len(weight) for weight in weights]
        return obs.sweep(weights, gram, self._settle(rows, gram.diagonal() == 0), self.damp)

    def holds(self, lm: LM) -> bool:
        """Whether every layer still has at least that share of zeros, measured."""
        return is_pruned(lm, self.sparsity, self.pattern)

    def _settle(self, rows: list[int], unseen: Tensor) -> obs.Settle:
        structured = parts(self.pattern)

        def begin(
            block: Tensor, columns: Tensor, pivots: Tensor
        ) -> Callable[[int, Tensor], Tensor]:
            keep = torch.ones_like(block, dtype=torch.bool)  # (columns, out)
            costs = 1 / pivots[:, None]
            costs[unseen[columns]] *= (
                1e-6  # an input that is always 0 costs nothing: right after what is 0 already
            )
            if structured is None:
                scores = (block * costs).square()
                keep = torch.cat(
                    [lowest(own, self.sparsity) for own in scores.split(rows, dim=1)], dim=1
                )

            def fix(j: int, column: Tensor) -> Tensor:
                if (
                    structured is not None and j % structured[1] == 0
                ):  # by the weights as they are by now
                    some = slice(j, j + structured[1])
                    scores = (block[some] * costs[some]).square()
                    keep[some] = lowest_per_row(scores.T, self.sparsity, self.pattern).T
                return column * keep[j]

            return fix

        return begin
