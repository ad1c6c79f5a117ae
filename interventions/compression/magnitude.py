"""Magnitude pruning: the baseline of Wanda and SparseGPT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from interventions.anatomy import block_linears
from interventions.base import Intervention
from interventions.compression.sparsity import (
    Pattern,
    check_pattern,
    check_width,
    is_pruned,
    keep_all_but_lowest,
    keep_all_but_lowest_per_row,
)
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class Magnitude(Intervention, category="compression", version=2):
    """Remove, in every weight matrix, the weights of lowest magnitude; no data is looked at.

    For the weights W (out, in) of one layer:

        score_ij = |W_ij|

    Of the whole layer, the int(out * in * sparsity) weights of lowest score become 0; with a
    pattern n:m, the n lowest of every m consecutive inputs of a row.

    Source: Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks",
    section 3; compared within a layer, as the baseline of Sun et al. 2024 (Wanda), section 4.

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
    family = "pruning"
    strength = "sparsity"
    paper_level = 0.25

    def __post_init__(self) -> None:
        """Check the fields; raises InvalidInput."""
        super().__post_init__()
        check_pattern(self.name, self.pattern, self.sparsity)

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the pattern does not divide a layer's inputs."""
        check_width(self.name, self.pattern, block_linears(model))

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how much to remove."""
        return {
            "sparsity": trial.suggest_float("sparsity", 0.1, 0.9),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Prune in place."""
        for linear in block_linears(lm.model).values():
            scores = linear.weight.abs().float()  # (out, in)
            if self.pattern == "unstructured":
                keep = keep_all_but_lowest(scores, self.sparsity)
            else:
                keep = keep_all_but_lowest_per_row(scores, self.sparsity, self.pattern)
            linear.weight.mul_(keep)
        return lm

    def holds(self, lm: LM) -> bool:
        """Return whether every layer still has at least that share of zeros, measured."""
        return is_pruned(lm, self.sparsity, self.pattern)
