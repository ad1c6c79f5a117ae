"""The values that a quantized layer's weights can take, and the share of a layer's zeros."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

ROWS = 512  # of a layer that are worked on together: more would only take more memory


@dataclass(frozen=True)
class QuantizationGrid:
    """The values that a quantized layer's weights can take: scale x (integer - zero), per group.

    Attributes:
        bits: width of the integers.
        group: inputs that share a scale.
        scale: (out, in / group).
        zero: (out, in / group), the integer that stands for a weight of 0.
        pruned: share of the weights that had been removed before they were rounded.
        zeros: share of the weights that were 0 after rounding: the removed ones, and those that
            rounding made 0.

    Example:
        >>> grid = QuantizationGrid(4, 2, torch.tensor([[0.5]]), torch.tensor([[8.0]]))
        >>> grid.nearest(torch.tensor([[0.6, -9.0]]))
        tensor([[ 0.5000, -4.0000]])
        >>> grid.holds(torch.tensor([[0.5, -4.0]])), grid.holds(torch.tensor([[0.6, -4.0]]))
        (True, False)
    """

    bits: int
    group: int
    scale: Tensor
    zero: Tensor
    pruned: float = 0.0
    zeros: float = 0.0

    def rows(self, rows: slice) -> QuantizationGrid:
        """Return the grid of some of the layer's outputs."""
        return replace(self, scale=self.scale[rows], zero=self.zero[rows])

    def integers(self, weight: Tensor) -> Tensor:
        """Return the integer (out, in), as float32, of the grid value nearest to each weight."""
        grouped = weight.float().unflatten(1, (-1, self.group))  # (out, in / group, group)
        integers = (grouped / self.scale.float()[..., None]).round_() + self.zero.float()[..., None]
        return integers.clamp_(0, 2**self.bits - 1).flatten(1)

    def values(self, integers: Tensor) -> Tensor:
        """Return the weights (out, in), float32, of integers: scale x (integer - zero)."""
        grouped = integers.float().unflatten(1, (-1, self.group)) - self.zero.float()[..., None]
        return (grouped * self.scale.float()[..., None]).flatten(1)

    def nearest(self, weight: Tensor) -> Tensor:
        """Return the grid value nearest to each weight (out, in), in the weight's dtype."""
        return self.values(self.integers(weight)).to(weight.dtype)

    def holds(self, weight: Tensor) -> bool:
        """Tell whether every weight (out, in) lies on the grid.

        It does if it is the grid's value as its dtype stores it, or within a thousandth of a step.
        """
        if weight.shape != (self.scale.shape[0], self.scale.shape[1] * self.group):
            return False
        slices = [slice(start, start + ROWS) for start in range(0, len(weight), ROWS)]
        return all(self.rows(rows)._holds(weight[rows]) for rows in slices)

    def _holds(self, weight: Tensor) -> bool:
        on_grid = torch.zeros_like(weight, dtype=torch.bool)
        integers = self.integers(weight)
        # at 8 bits bfloat16 may store a value nearer to the next one than to itself
        for neighbour in (0, 1, -1):
            nearby = (integers + neighbour).clamp_(0, 2**self.bits - 1)
            stored = self.values(nearby).to(weight.dtype)
            distance = (weight.float() - stored.float()).unflatten(1, (-1, self.group)).abs()
            on_grid |= (distance <= 1e-3 * self.scale.float()[..., None]).flatten(1)
            if bool(on_grid.all()):
                return True
        return False


def share_of_zeros(weight: Tensor) -> float:
    """Return the share of the weights that are exactly 0.

    Example:
        >>> share_of_zeros(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
        0.25
    """
    return 1 - int(weight.count_nonzero()) / weight.numel()
