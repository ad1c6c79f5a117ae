"""Wanda: pruning by weights and activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from transformers import PreTrainedModel

from interventions.anatomy import block_linears, linears
from interventions.base import Intervention
from interventions.compression import backends
from interventions.compression.calibration import Observe, calibrated_blocks
from interventions.compression.sparsity import (
    Pattern,
    check_pattern,
    check_width,
    is_pruned,
    lowest_per_row,
)
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM, ROWS
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class Wanda(Intervention, category="compression", version=2):
    """Remove, in every row of every linear layer, the weights with the lowest |W| * ||X||.

    score(i, j) = |W_ij| * ||X_j||_2  over the calibration tokens; each row (output) loses the same number of weights.
    Block by block: a block sees the activations that the pruned blocks before it produce.

    Source: Sun et al. 2024, "A Simple and Effective Pruning Approach for Large Language Models", equation 1.
    """

    sparsity: float = hyperparameter(
        0.5, "share of the weights to remove", paper=0.25, low=0, below=1
    )
    pattern: Pattern = hyperparameter(
        "unstructured", "or zeros in every consecutive inputs: 2:4, 4:8"
    )
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
        """How much."""
        return {
            "sparsity": trial.suggest_float("sparsity", 0.1, 0.9),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Prune in place."""
        texts = data.calibration[: self.samples]
        if self.backend == "llmcompressor":
            same = {"sparsity": self.sparsity, "pattern": self.pattern}
            return backends.llmcompressor(lm, texts, method="wanda", **same)
        for block, observe in calibrated_blocks(lm, texts):
            norms = input_norms(observe)
            for name, linear in linears(block):
                for rows in linear.weight.split(ROWS):
                    rows.mul_(mask(rows, norms[name], self.sparsity, self.pattern))
        return lm

    def holds(self, lm: LM) -> bool:
        """Whether every layer still has at least that share of zeros, measured."""
        return is_pruned(lm, self.sparsity, self.pattern)


def input_norms(observe: Observe) -> dict[str, Tensor]:
    """||X_j||_2 (in) over all tokens, of every layer of a block."""
    squares: dict[str, Tensor] = {}

    def see(name: str, inputs: Tensor) -> None:
        own = inputs.float().square().sum(0)
        squares[name] = squares[name] + own if name in squares else own

    observe(see)
    return {name: sums.sqrt() for name, sums in squares.items()}


def mask(
    weight: Tensor, input_norm: Tensor, sparsity: float, pattern: Pattern = "unstructured"
) -> Tensor:
    """True (out, in) where a weight stays, by weight (out, in) and the norm of each input (in)."""
    return lowest_per_row(weight.abs().float() * input_norm, sparsity, pattern)
