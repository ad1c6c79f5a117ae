"""Compression criteria, measured on the weights in the blocks; never read from a setting."""

from __future__ import annotations

from interventions.anatomy import block_linears
from interventions.criteria.base import Scores, criterion
from interventions.data.base import Data
from interventions.lm import LM
from interventions.quantization_grid import share_of_zeros

_PLAIN_BITS = 16  # a weight that is on no grid is stored in 16 bits (paper, section 3.1)


@criterion(
    better="neither",
    unit="share",
    version=2,
    title="Sparsity",
    category="compression",
    items="exact",
)
def sparsity(lm: LM, data: Data) -> Scores:
    """Measure the share of zero weights in the blocks' weight matrices (paper, section 3.1).

    All of them count, experts' too; embeddings, head, norms and routers do not. An item is a
    matrix.
    """
    matrices = block_linears(lm.model)
    zeros = {name: share_of_zeros(matrix.weight) for name, matrix in matrices.items()}
    return _weighted_mean(lm, zeros)


@criterion(
    better="lower",
    unit="bits per weight",
    version=3,
    title="Average bits",
    judges=("compression",),
    category="compression",
    items="exact",
)
def average_bits(lm: LM, data: Data) -> Scores:
    """Measure the average bits per weight of the blocks' weight matrices (paper, section C).

    Not quantized: 16 x the share of weights that stayed + 1 x the share of those removed (the
    mask); quantized: the grid's bits in place of 16, + 32 / group size for scale and zero, and
    nothing for the group of each input, which the paper does not count. A layer
    whose weights have left their grid counts as not quantized; zeros that rounding made are values
    of the grid and no mask (``LM.pruned``). All matrices count, experts' too; embeddings, head,
    norms and routers do not. An item is a matrix.
    """
    bits = {}
    for name, matrix in block_linears(lm.model).items():
        weight = matrix.weight
        grid, pruned = lm.grids.get(name), lm.pruned(name, weight)
        width, overhead = _PLAIN_BITS, 0.0
        if grid is not None and grid.holds(weight):
            width, overhead = grid.bits, 32 / grid.group
        bits[name] = width * (1 - pruned) + pruned + overhead
    return _weighted_mean(lm, bits)


def _weighted_mean(lm: LM, items: dict[str, float]) -> Scores:
    """Return the mean over weights; nothing is sampled, so the standard error is 0."""
    sizes = {name: matrix.weight.numel() for name, matrix in block_linears(lm.model).items()}
    value = sum(items[name] * size for name, size in sizes.items()) / sum(sizes.values())
    return Scores(value, 0.0, items)
