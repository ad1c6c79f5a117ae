"""SparseGPT: pruning that makes up for every removed weight in those that stay."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from interventions.anatomy import block_linears, linears
from interventions.base import Intervention
from interventions.compression import obs
from interventions.compression.allocation import (
    UNIFORM,
    Allocation,
    block_sparsities,
    check_allocation,
    is_allocated,
    without_allocation,
)
from interventions.compression.backends import llmcompressor
from interventions.compression.backends.installed import require
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
    keep_all_but_lowest,
    keep_all_but_lowest_per_row,
    pattern_parts,
)
from interventions.data.base import Data
from interventions.hyperparameters import MOST_TEXTS, hyperparameter
from interventions.lm import LM
from interventions.one_by_one import check_one_by_one
from interventions.search_space import Trial, TuningContext
from interventions.weight_matrix import WeightMatrix


@dataclass(frozen=True)
class SparseGPT(Intervention, category="compression", version=2):
    """Remove the weights that cost a layer's output least once the others of their row adapt.

    With H = X'X / tokens + damp * mean(diag) * I over calibration inputs X (tokens, in), and U the
    upper Cholesky factor of its inverse, U'U = H^-1:

        score_ij = w_ij^2 / U_jj^2
        e_i = w_ij / U_jj;  w_ik -= e_i U_jk for k > j        (for every weight ij that is removed)

    Columns (inputs) are settled from left to right, in blocks of 128. At the start of a block the
    scores of its current weights decide: of the block, the int(out * 128 * sparsity) lowest go;
    with a pattern n:m, the n lowest of each row's next m inputs, decided at every m-th column.

    Departure: layers with the same inputs (q, k, v) share one Hessian and are swept together; each
    has its own mask. Weights of an input that was always 0 go first, as in the authors' code. An
    expert to which no token was sent loses its weights of lowest magnitude.
    With ``allocation='owl'`` blocks lose unlike shares, by their outliers (Yin et al. 2024).

    Source: Frantar and Alistarh 2023, "SparseGPT: Massive Language Models Can Be Accurately Pruned
    in One-Shot", algorithm 1, with adaptive mask selection (section 3.3).

    Example:
        >>> str(SparseGPT(sparsity=0.5, pattern="2:4"))
        "sparsegpt(sparsity=0.5, pattern='2:4')"
    """

    sparsity: float = hyperparameter(
        0.5, "share of the weights to remove", paper=0.25, low=0, below=1
    )
    pattern: Pattern = hyperparameter(
        "unstructured", "or zeros in every consecutive inputs: 2:4, 4:8"
    )
    damp: float = hyperparameter(
        0.01, "share of the Hessian's mean diagonal added to it", above=0, high=1e6
    )
    samples: int = hyperparameter(128, "calibration texts", low=1, high=MOST_TEXTS)
    backend: Literal["own", "llmcompressor"] = hyperparameter("own", "whose code prunes")
    allocation: Allocation = hyperparameter(
        "uniform", "what share each block loses: the same, or by its outliers"
    )
    outlier_threshold: float = hyperparameter(
        5.0, "owl: how many times a block's mean score an outlier has", above=0, high=1e3
    )
    allocation_range: float = hyperparameter(
        0.08, "owl: half the distance between the sparsest block and the densest", low=0, high=0.25
    )
    family = "pruning"
    strength = "sparsity"
    paper_level = 0.25
    reads = frozenset({"calibration"})
    texts: ClassVar[Mapping[str, str]] = {"samples": "calibration"}
    earlier: ClassVar[Mapping[int, Mapping[str, Any]]] = {
        2: {"allocation": "uniform", "outlier_threshold": 5.0, "allocation_range": 0.08}
    }

    def __post_init__(self) -> None:
        """Check the fields; raises InvalidInput."""
        super().__post_init__()
        check_pattern(self.name, self.pattern, self.sparsity)
        check_allocation(self)

    def identity(self) -> dict[str, Any]:
        """Return what decides on the weights; of uniform shares without the settings of others."""
        return without_allocation(super().identity())

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if a layer does not fit the pattern, or the backend is missing.

        Own code runs the model's blocks one by one: it is raised too if they cannot be.
        """
        check_width(self.name, self.pattern, block_linears(model))
        if self.backend != "own":
            require(self.backend, model)
        else:
            check_one_by_one(model)

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how much to remove, and how the Hessian is damped."""
        return {
            "sparsity": trial.suggest_float("sparsity", 0.1, 0.9),
            "damp": tuning_context.around(trial, cls, "damp", 10, 10),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Prune in place; layers that share their inputs are swept together."""
        texts = data.calibration[: self.samples]
        if self.backend == "llmcompressor":
            settings = {"sparsity": self.sparsity, "pattern": self.pattern, "damp": self.damp}
            return llmcompressor.compress(lm, texts, method="sparsegpt", **settings)
        sparsities = block_sparsities(lm, texts, self)
        # the blocks first: they end by themselves, a rehearsal's sooner
        calibrated = calibrated_blocks(lm, texts)
        for (block, observe), sparsity in zip(calibrated, sparsities, strict=False):
            step = replace(self, sparsity=sparsity, **UNIFORM)
            prune_layers = functools.partial(step._prune_layers, dict(linears(block)))
            by_inputs(input_statistics(observe), prune_layers)
        return lm

    def _prune_layers(
        self, block_layers: dict[str, WeightMatrix], names: list[str], inputs: Inputs
    ) -> None:
        weights = [block_layers[name].weight for name in names]
        for weight, pruned in zip(weights, self.prune(weights, inputs.gram), strict=True):
            weight.copy_(pruned)

    def prune(self, weights: list[Tensor], gram: Tensor) -> list[Tensor]:
        """Return the pruned weights, float32, of layers that share their inputs.

        Args:
            weights: (out, in) each; not changed.
            gram: the Hessian (in, in) of the inputs, up to a factor, not damped yet.
        """
        rows = [len(weight) for weight in weights]
        return obs.sweep_columns(weights, gram, self._settle(rows, gram.diagonal() == 0), self.damp)

    def holds(self, lm: LM) -> bool:
        """Return whether every layer still has at least that share of zeros, measured."""
        if self.allocation != "uniform":
            return is_allocated(lm, self.sparsity, self.allocation_range)
        return is_pruned(lm, self.sparsity, self.pattern)

    def _settle(self, rows: list[int], unseen: Tensor) -> obs.Settle:
        structured = pattern_parts(self.pattern)

        def begin(
            to_come: Tensor, columns: Tensor, pivots: Tensor
        ) -> Callable[[int, Tensor], Tensor]:
            block = to_come[: len(columns)]  # (columns, out)
            keep = torch.ones_like(block, dtype=torch.bool)
            costs = pivots.reciprocal()[:, None]  # 1 / U_jj, (columns, 1)
            # an input that is always 0 costs nothing: its weights go right after those that are 0
            costs[unseen[columns]] *= 1e-6
            if structured is None:
                scores = (block * costs).square()
                layer_masks = [
                    keep_all_but_lowest(layer_scores, self.sparsity)
                    for layer_scores in scores.split(rows, dim=1)
                ]
                keep = torch.cat(layer_masks, dim=1)

            def fix(j: int, column: Tensor) -> Tensor:
                # a pattern is chosen by the weights as the columns before have left them
                if structured is not None and j % structured[1] == 0:
                    part = slice(j, j + structured[1])
                    scores = (block[part] * costs[part]).square()
                    keep[part] = keep_all_but_lowest_per_row(
                        scores.T, self.sparsity, self.pattern
                    ).T
                return column * keep[j]

            return fix

        return begin
