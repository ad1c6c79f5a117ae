"""Wanda: pruning by weights and activations."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from interventions.base import Intervention
from interventions.compression.calibration import calibrated_blocks
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.layers import block_linears, linears
from interventions.lm import LM


@dataclass(frozen=True)
class Wanda(Intervention, category="compression"):
    """Remove, in every row of every linear layer, the weights with the lowest |W| * ||X||.

    score(i, j) = |W_ij| * ||X_j||_2  over the calibration tokens; each row (output) loses the same number of weights.
    Block by block: a block sees the activations that the pruned blocks before it produce.

    Source: Sun et al. 2024, "A Simple and Effective Pruning Approach for Large Language Models", equation 1.
    """

    sparsity: float = hyperparameter(0.5, "share of the weights to remove", paper=0.25, low=0, below=1)
    samples: int = hyperparameter(128, "calibration texts", low=1)
    strength = "sparsity"
    reads = frozenset({"calibration"})

    def apply(self, lm: LM, data: Data) -> LM:
        """Prune in place."""
        for block, observe in calibrated_blocks(lm, data.calibration[: self.samples]):
            inside = dict(linears(block))
            squares = {name: linear.weight.new_zeros(linear.in_features).float() for name, linear in inside.items()}
            observe(functools.partial(_add_squares, squares))
            for name, linear in inside.items():
                keep = mask(linear.weight, squares[name].sqrt(), self.sparsity)
                linear.weight.mul_(keep)
        return lm

    def holds(self, lm: LM) -> bool:
        """Whether every layer still has at least that share of zeros, measured."""
        return all(
            float((linear.weight == 0).float().mean())
            >= removed(linear.in_features, self.sparsity) / linear.in_features
            for linear in block_linears(lm.model).values()
        )


def _add_squares(sums: dict[str, Tensor], name: str, inputs: Tensor) -> None:
    sums[name] += inputs.float().square().sum(0)


def removed(inputs: int, sparsity: float) -> int:
    """Weights that a row of so many inputs loses."""
    return int(inputs * sparsity)


def mask(weight: Tensor, input_norm: Tensor, sparsity: float) -> Tensor:
    """True (out, in) where a weight stays, by weight (out, in) and the norm of each input (in)."""
    scores = weight.abs().float() * input_norm  # (out, in)
    lowest = scores.argsort(dim=1, stable=True)[:, : removed(weight.shape[1], sparsity)]
    return torch.ones_like(weight, dtype=torch.bool).scatter(1, lowest, False)
