"""Compression criteria, measured on the weights of the linear layers in the blocks; never read from a setting."""

from __future__ import annotations

from torch import Tensor

from interventions.anatomy import block_linears
from interventions.criteria.base import Scores, criterion
from interventions.data.base import Data
from interventions.lm import LM

_PLAIN_BITS = 16  # a weight that is on no grid is stored in 16 bits (paper, section 3.1)


@criterion(better="neither", unit="share")
def sparsity(lm: LM, data: Data) -> Scores:
    """Share of zero weights over the compressed layers (paper, section 3.1). An item is a layer."""
    return _weighted(
        lm, {name: _zeros(linear.weight) for name, linear in block_linears(lm.model).items()}
    )


@criterion(better="lower", unit="bits per weight", version=2)
def average_bits(lm: LM, data: Data) -> Scores:
    """Average bits per weight of the compressed layers (paper, section C). An item is a layer.

    Not quantized: 16 x the share of weights that stayed + 1 x the share of those removed (the mask); quantized: the
    grid's bits in place of 16, + 32 / group size for scale and zero. A layer whose weights have left their grid
    counts as not quantized; zeros that rounding made are values of the grid and no mask (LM.pruned).
    """
    bits = {}
    for name, linear in block_linears(lm.model).items():
        grid, pruned = lm.grids.get(name), lm.pruned(name, linear.weight)
        on_grid = grid is not None and grid.holds(linear.weight)
        width, overhead = (
            (grid.bits, 32 / grid.group) if grid is not None and on_grid else (_PLAIN_BITS, 0.0)
        )
        bits[name] = width * (1 - pruned) + pruned + overhead
    return _weighted(lm, bits)


def _zeros(weight: Tensor) -> float:
    return float((weight == 0).double().mean())


def _weighted(lm: LM, items: dict[str, float]) -> Scores:
    """The mean over weights; nothing is sampled, so the standard error is 0."""
    sizes = {name: linear.weight.numel() for name, linear in block_linears(lm.model).items()}
    value = sum(items[name] * size for name, size in sizes.items()) / sum(sizes.values())
    return Scores(value, 0.0, items)
