"""Magnitude pruning: the baseline of Wanda and SparseGPT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from transformers import PreTrainedModel

from interventions.anatomy import block_linears, blocks, linears
from interventions.base import Intervention
from interventions.compression.allocation import (
    Allocation,
    block_sparsities,
    check_allocation,
    is_allocated,
    without_allocation,
)
from interventions.compression.sparsity import (
    Pattern,
    check_pattern,
    check_width,
    is_pruned,
    keep_all_but_lowest,
    keep_all_but_lowest_per_row,
)
from interventions.data.base import Data
from interventions.hyperparameters import MOST_TEXTS, hyperparameter
from interventions.lm import LM
from interventions.one_by_one import check_one_by_one
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class Magnitude(Intervention, category="compression", version=2):
    """Remove, in every weight matrix, the weights of lowest magnitude; no data is looked at.

    With ``allocation='owl'`` blocks lose unlike shares, by their outliers on calibration texts.

    For the weights W (out, in) of one layer:

        score_ij = |W_ij|

    Of the whole layer, the int(out * in * sparsity) weights of lowest score become 0; with a
    pattern n:m, the n lowest of every m consecutive inputs of a row.

    Source: Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks",
    section 3; compared within a layer, as the baseline of Sun et al. 2024 (Wanda), section 4; OWL:
    Yin et al. 2024, "Outlier Weighed Layerwise Sparsity (OWL)".

    Example:
        >>> str(Magnitude(sparsity=0.25))
        'magnitude(sparsity=0.25)'
    """

    sparsity: float = hyperparameter(
        0.5, "share of the weights to remove", paper=0.25, low=0, below=1
    )
    pattern: Pattern = hyperparameter(
        "unstructured", "or zeros in every consecutive inputs: 2:4, 4:8"
    )
    samples: int = hyperparameter(128, "owl: calibration texts", low=1, high=MOST_TEXTS)
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
    earlier: ClassVar[Mapping[int, Mapping[str, Any]]] = {
        2: {
            "samples": 128,
            "allocation": "uniform",
            "outlier_threshold": 5.0,
            "allocation_range": 0.08,
        }
    }

    def __post_init__(self) -> None:
        """Check the fields; raises InvalidInput."""
        super().__post_init__()
        check_pattern(self.name, self.pattern, self.sparsity)
        check_allocation(self)
        if self.allocation != "uniform":
            object.__setattr__(self, "reads", frozenset({"calibration"}))
            object.__setattr__(self, "texts", {"samples": "calibration"})

    def identity(self) -> dict[str, Any]:
        """Return what decides on the weights; of uniform shares without the settings of others."""
        identity = without_allocation(super().identity())
        if self.allocation == "uniform":
            del identity["samples"]
        return identity

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the pattern does not divide a layer's inputs.

        OWL runs the model's blocks one by one: it is raised too if they cannot be.
        """
        check_width(self.name, self.pattern, block_linears(model))
        if self.allocation != "uniform":
            check_one_by_one(model)

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how much to remove."""
        return {
            "sparsity": trial.suggest_float("sparsity", 0.1, 0.9),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Prune in place."""
        sparsities = block_sparsities(lm, data.calibration[: self.samples], self)
        for sparsity, block in zip(sparsities, blocks(lm.model), strict=True):
            for _, matrix in linears(block):
                scores = matrix.weight.abs().float()  # (out, in)
                if self.pattern == "unstructured":
                    keep = keep_all_but_lowest(scores, sparsity)
                else:
                    keep = keep_all_but_lowest_per_row(scores, sparsity, self.pattern)
                matrix.weight.mul_(keep)
        return lm

    def holds(self, lm: LM) -> bool:
        """Return whether every layer still has at least that share of zeros, measured."""
        if self.allocation != "uniform":
            return is_allocated(lm, self.sparsity, self.allocation_range)
        return is_pruned(lm, self.sparsity, self.pattern)
