"""The grids of layers that GPTQ sweeps together: when they are fitted, and how they round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from interventions.compression.quantization import WHOLE_ROW, fit_grid, group_size
from interventions.quantization_grid import QuantizationGrid, ordered_groups


@dataclass
class SweptGrids:
    """The grids of layers that are swept together, and what a column is rounded to.

    Attributes:
        bits: width of the integers.
        symmetric: whether the grids are symmetric about 0.
        scale: (in / group, out of all layers).
        zero: likewise.
        input_groups: (in), the group of each input.
        order: (in), the inputs in the order of the sweep.
        pruned: (in, out), the zeros that are to stay; None if there are none.
        is_dynamic: whether a grid is fitted when the sweep reaches its group.
    """

    bits: int
    symmetric: bool
    scale: Tensor
    zero: Tensor
    input_groups: Tensor
    order: Tensor
    pruned: Tensor | None
    is_dynamic: bool

    @classmethod
    def of(
        cls,
        weights: list[Tensor],
        order: Tensor | None,
        *,
        bits: int,
        group: int,
        symmetric: bool,
        static_groups: bool,
        keep_zeros: bool,
    ) -> SweptGrids:
        """Return the grids of layers; only whole rows' are fitted yet.

        Args:
            weights: (out, in) of each.
            order: (in), in which the inputs are swept; from left to right by default.
            bits: width of the integers.
            group: inputs that share a scale; -1 means the whole row.
            symmetric: whether the grids are symmetric about 0.
            static_groups: whether a group is of consecutive inputs, fitted before the sweep.
            keep_zeros: whether zero weights stay zero.
        """
        inputs, rows = weights[0].shape[1], sum(map(len, weights))
        device = weights[0].device
        size, places = group_size(group, inputs), torch.arange(inputs, device=device)
        is_dynamic = not static_groups and group != WHOLE_ROW
        input_groups = places // size
        if order is not None and is_dynamic:
            input_groups[order] = places // size
        pruned: Tensor | None = None
        if keep_zeros and any(bool((weight == 0).any()) for weight in weights):
            pruned = torch.cat([(weight == 0).T for weight in weights], dim=1)
        scale = torch.empty(inputs // size, rows, device=device)
        grids = cls(
            bits=bits,
            symmetric=symmetric,
            scale=scale,
            zero=torch.empty_like(scale),
            input_groups=input_groups,
            order=places if order is None else order,
            pruned=pruned,
            is_dynamic=is_dynamic,
        )
        # before an input that is always 0 loses its weights, as in the authors' code
        if group == WHOLE_ROW:
            grids.fit_all(weights)
        return grids

    def fit_all(self, weights: list[Tensor]) -> None:
        """Fit all grids to the layers' weights (out, in), of consecutive inputs."""
        group = len(self.order) // len(self.scale)
        fitted = [fit_grid(weight, self.bits, group, self.symmetric) for weight in weights]
        torch.cat([grid.scale.T for grid in fitted], dim=1, out=self.scale)
        torch.cat([grid.zero.T for grid in fitted], dim=1, out=self.zero)

    def begin(
        self, to_come: Tensor, columns: Tensor, pivots: Tensor
    ) -> Callable[[int, Tensor], Tensor]:
        """Return the function that rounds a column of a block; see ``obs.Settle``."""
        if self.is_dynamic:
            self._fit_groups_that_begin(to_come, len(columns))
        groups, top = self.input_groups[columns], 2**self.bits - 1
        scale, zero = self.scale[groups], self.zero[groups]  # (columns, out)
        pruned = None if self.pruned is None else self.pruned[columns]

        def fix(j: int, column: Tensor) -> Tensor:
            integers = (column / scale[j]).round_().add_(zero[j]).clamp_(0, top)
            values = integers.sub_(zero[j]).mul_(scale[j])
            return values if pruned is None else values.masked_fill_(pruned[j], 0)

        return fix

    def _fit_groups_that_begin(self, to_come: Tensor, count: int) -> None:
        """Fit the grids of the groups that begin within the next ``count`` columns of the sweep.

        All at once, before the first of the columns is rounded: as in the authors' code, the errors
        of these columns have not reached the others yet.
        """
        start, group = len(self.order) - len(to_come), len(self.order) // len(self.scale)
        for place in range(-(-start // group) * group, start + count, group):
            weights = to_come[place - start : place - start + group]  # (group, out)
            if self.pruned is not None:
                weights = weights.masked_fill(self.pruned[self.order[place : place + group]], 0)
            grid = fit_grid(weights.T, self.bits, WHOLE_ROW, self.symmetric)
            self.scale[place // group] = grid.scale[:, 0]
            self.zero[place // group] = grid.zero[:, 0]

    def by_layer(self, rows: list[int]) -> Iterator[QuantizationGrid]:
        """Yield the grid of each layer, given their outputs."""
        group = len(self.order) // len(self.scale)
        for scale, zero in zip(self.scale.split(rows, 1), self.zero.split(rows, 1), strict=True):
            yield QuantizationGrid(
                self.bits,
                group,
                scale.T.contiguous(),
                zero.T.contiguous(),
                # a tensor of each layer's own: shared ones cannot be saved
                input_groups=ordered_groups(self.input_groups, group),
            )
