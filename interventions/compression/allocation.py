"""OWL: how much of every block goes, by how many of its weights are outliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from interventions.anatomy import blocks, linears
from interventions.compression.calibration import calibrated_blocks, input_norms
from interventions.errors import InvalidInput, shown
from interventions.lm import LM
from interventions.quantization_grid import ROWS

Allocation = Literal["uniform", "owl"]
# what allocates, and what means nothing where every block loses the same share; by default
UNIFORM: Mapping[str, Any] = {
    "allocation": "uniform",
    "outlier_threshold": 5.0,
    "allocation_range": 0.08,
}


class Pruner(Protocol):
    """A pruning method whose blocks may lose unlike shares: magnitude, Wanda, SparseGPT."""

    name: ClassVar[str]

    @property
    def sparsity(self) -> float:
        """Of all blocks together."""

    @property
    def pattern(self) -> str:
        """Either "unstructured" or n:m."""

    @property
    def allocation(self) -> Allocation:
        """Which shares blocks lose."""

    @property
    def outlier_threshold(self) -> float:
        """M of OWL."""

    @property
    def allocation_range(self) -> float:
        """Lambda of OWL."""


def check_allocation(step: Pruner) -> None:
    """Check that blocks may lose unlike shares.

    Raises:
        InvalidInput: with a pattern n:m, with another backend, where a block might be left with
            more than all or less than none of its weights, or where a setting of OWL would do
            nothing.
    """
    if step.allocation == "uniform":
        for field in ("outlier_threshold", "allocation_range"):
            if getattr(step, field) != UNIFORM[field]:
                raise InvalidInput(
                    f"{step.name}.{field} is of allocation='owl'; with 'uniform' it would do"
                    f" nothing, but got {shown(getattr(step, field))}"
                )
        return
    if step.pattern != "unstructured":
        raise InvalidInput(
            f"{step.name}.pattern={step.pattern!r} removes half of every block: allocation must be"
            f" 'uniform', but got {step.allocation!r}"
        )
    if getattr(step, "backend", "own") != "own":
        raise InvalidInput(
            f"{step.name}.allocation={step.allocation!r} is own code: backend must be 'own'"
        )
    most = 2 * step.allocation_range
    if not most <= step.sparsity <= 1 - most:
        raise InvalidInput(
            f"{step.name}.allocation='owl' may remove {most:g} more or less of a block: sparsity"
            f" must be from {most:g} to {1 - most:g}, but got {step.sparsity!r}; or lower"
            " allocation_range"
        )


def without_allocation(identity: dict[str, Any]) -> dict[str, Any]:
    """Return a step's identity as it was before blocks could differ, where they do not.

    Example:
        >>> without_allocation({"sparsity": 0.5, **UNIFORM})
        {'sparsity': 0.5}
    """
    if identity["allocation"] != "uniform":
        return identity
    return {key: value for key, value in identity.items() if key not in UNIFORM}


def block_sparsities(lm: LM, texts: Sequence[str], step: Pruner) -> list[float]:
    """Return what share of each block's weights goes.

    Args:
        lm: the model before any block is pruned; not changed.
        texts: what OWL looks for outliers on; not read with uniform shares.
        step: the pruning.
    """
    decoder_blocks = blocks(lm.model)
    if step.allocation == "uniform":
        return [step.sparsity] * len(decoder_blocks)
    shares = outlier_shares(lm, texts, step.outlier_threshold)
    if lm.device.type == "meta":  # a rehearsal, in which nothing is computed
        return [step.sparsity] * len(decoder_blocks)
    sizes = [sum(m.weight.numel() for _, m in linears(block)) for block in decoder_blocks]
    return owl_sparsities(
        [float(share) for share in shares], sizes, step.sparsity, step.allocation_range
    )


@torch.no_grad()
def outlier_shares(lm: LM, texts: Sequence[str], threshold: float) -> list[Tensor]:
    """Return by block the share of its weights that are outliers, as tensors of one number.

        outlier: |W_ij| * ||X_j||_2 > threshold * mean of that over all weights of the block

    The inputs X are those of the model as it is. Weights of an expert to which no token was sent
    have a score of 0.

    Source: Yin et al. 2024, "Outlier Weighed Layerwise Sparsity (OWL)", section 3.2, equation 1.
    """
    shares = []
    for block, observe in calibrated_blocks(lm, texts):
        norms = input_norms(observe, unseen=0.0)
        parts = [
            (rows, norms[name])
            for name, matrix in linears(block)
            for rows in matrix.weight.split(ROWS)
        ]
        count = sum(rows.numel() for rows, _ in parts)
        total = torch.stack([_scores(*part).sum(dtype=torch.float64) for part in parts]).sum()
        bound = threshold * total / count
        outliers = torch.stack([(_scores(*part) > bound).sum() for part in parts]).sum()
        shares.append(outliers / count)
    return shares


def _scores(rows: Tensor, norm: Tensor) -> Tensor:
    return rows.abs().float() * norm  # (some of out, in)


def owl_sparsities(
    shares: Sequence[float], sizes: Sequence[int], sparsity: float, allocation_range: float
) -> list[float]:
    """Return the share of each block's weights that goes: the more outliers, the less.

    Shares of outliers are moved and stretched to reach from 0 to twice the range; what stays of a
    block is that, moved so that of all weights together ``1 - sparsity`` stay. Where blocks are
    alike, every block loses ``sparsity``.

    Args:
        shares: of outliers, by block.
        sizes: how many weights a block has. The authors' blocks are of one size.
        sparsity: of all blocks together.
        allocation_range: lambda, half the distance between the sparsest and the densest block.

    Source: Yin et al. 2024, section 3.3; the authors' code, ``prune_wanda_outlier``.

    Example:
        >>> [round(each, 3) for each in owl_sparsities([0.0, 0.03, 0.06], [10, 10, 10], 0.7, 0.08)]
        [0.78, 0.7, 0.62]
    """
    least, most = min(shares), max(shares)
    if least == most:
        return [sparsity] * len(shares)
    stays = [2 * allocation_range * (share - least) / (most - least) for share in shares]
    mean = sum(stay * size for stay, size in zip(stays, sizes, strict=True)) / sum(sizes)
    return [sparsity + mean - stay for stay in stays]


@torch.no_grad()
def is_allocated(lm: LM, sparsity: float, allocation_range: float) -> bool:
    """Return whether the blocks together still have so many zeros, and every matrix its least.

    How much each block lost is not known any more; each lost at least ``sparsity`` less twice the
    range.
    """
    total = zeros = rows = 0
    for block in blocks(lm.model):
        for _, matrix in linears(block):
            out, inputs = matrix.weight.shape
            zeros_of_matrix = int((matrix.weight == 0).sum())
            # a row, or a block of columns, loses a whole number of weights, rounded down
            if zeros_of_matrix + out < (sparsity - 2 * allocation_range) * out * inputs:
                return False
            total, zeros, rows = total + out * inputs, zeros + zeros_of_matrix, rows + out
    return zeros + rows >= sparsity * total
