"""The values that a quantized layer's weights can take, and the share of a layer's zeros."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from interventions.tensor_files import write_tensors

_FILE, _FIELDS_FILE = "quantization_grids.safetensors", "quantization_grids.json"
_PLAIN_FIELDS = ("bits", "group", "pruned", "zeros")  # all but the tensors
ROWS = 512  # of a layer that are worked on together: more would only take more memory
_HALF_PRECISION = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class QuantizationGrid:
    """The values that a quantized layer's weights can take: scale x (integer - zero), per group.

    Values are float32, and on the device of the weights that they are for, wherever the grid's own
    tensors are. A layer is on its grid if each of its weights is a value rounded to the
    dtype that the model is stored in: exactly the value in float32, the bfloat16 or float16 next to
    it otherwise.

    Attributes:
        bits: width of the integers.
        group: inputs that share a scale.
        scale: (out, in / group).
        zero: (out, in / group), the integer that stands for a weight of 0; with ``real_zero`` it
            lies between integers.
        pruned: share of the weights that had been removed before they were rounded.
        zeros: share of the weights that were 0 after rounding: the removed ones, and those that
            rounding made 0.
        input_groups: (in), the group of each input ("g_idx"), int32; None where a group is so many
            consecutive inputs.
        real_zero: whether zeros are real numbers, so that no integer stands for a weight of 0. What
            was pruned stays 0 all the same: a weight of 0 is on such a grid, too.

    Example:
        >>> grid = QuantizationGrid(4, 2, torch.tensor([[0.5]]), torch.tensor([[8.0]]))
        >>> grid.nearest(torch.tensor([[0.6, -9.0]]))
        tensor([[ 0.5000, -4.0000]])
        >>> grid.holds(torch.tensor([[0.5, -4.0]])), grid.holds(torch.tensor([[0.6, -4.0]]))
        (True, False)
        >>> grid = QuantizationGrid(
        ...     4, 1, torch.tensor([[0.5, 3.0]]), torch.tensor([[8.0, 8.0]]),
        ...     input_groups=torch.tensor([1, 0]),
        ... )
        >>> grid.nearest(torch.tensor([[8.5, 1.4]]))
        tensor([[9.0000, 1.5000]])
        >>> grid = QuantizationGrid(
        ...     4, 3, torch.tensor([[0.5]]), torch.tensor([[7.75]]), real_zero=True
        ... )
        >>> grid.nearest(torch.tensor([[0.6, 0.01, 0.0]]))
        tensor([[0.6250, 0.1250, 0.0000]])
    """

    bits: int
    group: int
    scale: Tensor
    zero: Tensor
    pruned: float = 0.0
    zeros: float = 0.0
    input_groups: Tensor | None = None
    real_zero: bool = False

    def to(self, device: str | torch.device) -> QuantizationGrid:
        """Return the grid with its tensors on a device."""
        groups = None if self.input_groups is None else self.input_groups.to(device)
        return replace(
            self, scale=self.scale.to(device), zero=self.zero.to(device), input_groups=groups
        )

    def rows(self, rows: slice) -> QuantizationGrid:
        """Return the grid of some of the layer's outputs."""
        return replace(self, scale=self.scale[rows], zero=self.zero[rows])

    def integers(self, weight: Tensor) -> Tensor:
        """Return the integer (out, in), as float32, of the grid value nearest to each weight."""
        near = self.to(weight.device)
        steps = near._by_group(weight.float()) / near.scale.float()[..., None]
        zero = near.zero.float()[..., None]
        # a sum of a real zero and a rounded number would be no integer
        integers = steps.add_(zero).round_() if self.real_zero else steps.round_() + zero
        return near._by_input(integers.clamp_(0, 2**self.bits - 1))

    def values(self, integers: Tensor) -> Tensor:
        """Return the weights (out, in), float32, of integers: scale x (integer - zero)."""
        near = self.to(integers.device)
        grouped = near._by_group(integers.float()) - near.zero.float()[..., None]
        return near._by_input(grouped * near.scale.float()[..., None])

    def nearest(self, weight: Tensor) -> Tensor:
        """Return the grid value nearest to each weight (out, in), in the weight's dtype.

        A weight of 0 stays 0, whether an integer stands for it or, with real zeros, none does.
        """
        nearest = self.values(self.integers(weight)).to(weight.dtype)
        return nearest.masked_fill_(weight == 0, 0) if self.real_zero else nearest

    def holds(self, weight: Tensor) -> bool:
        """Tell whether every weight (out, in) lies on the grid, as its dtype stores the values.

        A model that was stored in bfloat16 or float16 and is loaded in another dtype is on its grid
        too: all weights of the layer are the values rounded to the one dtype, then to the other.
        """
        return self._storage_of(weight) is not None

    def stored_integers(self, weight: Tensor) -> Tensor | None:
        """Return the integers (out, in), as float32, that weights on the grid are the values of.

        Unlike ``integers``, which rounds whatever it gets; None if a weight is not on the grid, or
        is a 0 that no integer stands for.

        Example:
            >>> grid = QuantizationGrid(2, 1, torch.tensor([[0.3]]), torch.tensor([[0.0]]))
            >>> grid.stored_integers(torch.tensor([[0.6]])), grid.stored_integers(torch.ones(1, 1))
            (tensor([[2.]]), None)
        """
        storage = self._storage_of(weight)
        if storage is None:
            return None
        parts = [
            self.rows(rows)._stored_integers(weight[rows], storage)[0] for rows in _slices(weight)
        ]
        integers = torch.cat(parts)
        if self.real_zero and not torch.equal(self._stored(integers, storage, weight), weight):
            return None
        return integers

    def _storage_of(self, weight: Tensor) -> torch.dtype | None:
        """Return the dtype that the values were rounded to; None if a weight is not on the grid."""
        if weight.shape != (self.scale.shape[0], self.scale.shape[1] * self.group):
            return None
        for storage in dict.fromkeys((weight.dtype, *_HALF_PRECISION)):
            if all(
                self.rows(rows)._stored_integers(weight[rows], storage)[1]
                for rows in _slices(weight)
            ):
                return storage
        return None

    def _stored_integers(self, weight: Tensor, storage: torch.dtype) -> tuple[Tensor, bool]:
        """Return the integers (out, in) that the weights are values of, and whether all are.

        Args:
            weight: (out, in).
            storage: the dtype that the values were rounded to before they got the weight's.
        """
        nearest = self.integers(weight)
        integers, is_on_grid = nearest, torch.zeros_like(weight, dtype=torch.bool)
        if self.real_zero:
            is_on_grid = weight == 0
        # a dtype's values are half as dense above a power of two as below it, so that the value
        # that was rounded to a weight may be not the nearest one to it, but the next
        for neighbour in (0, 1, -1):
            nearby = (nearest + neighbour).clamp_(0, 2**self.bits - 1)
            is_value = self._stored(nearby, storage, weight) == weight
            integers = torch.where(is_value & ~is_on_grid, nearby, integers)
            is_on_grid |= is_value
            if bool(is_on_grid.all()):
                return integers, True
        return integers, False

    def _stored(self, integers: Tensor, storage: torch.dtype, weight: Tensor) -> Tensor:
        """Return the values of integers (out, in), stored in a dtype and loaded in the weight's."""
        return self.values(integers).to(storage).to(weight.dtype)

    def _by_group(self, by_input: Tensor) -> Tensor:
        """Return (out, in / group, group) of (out, in)."""
        if self.input_groups is not None:
            by_input = by_input[:, self.input_groups.argsort(stable=True)]
        return by_input.unflatten(1, (-1, self.group))

    def _by_input(self, by_group: Tensor) -> Tensor:
        """Return (out, in) of (out, in / group, group)."""
        by_input = by_group.flatten(1)
        if self.input_groups is None:
            return by_input
        return by_input[:, self.input_groups.argsort(stable=True).argsort()]


def ordered_groups(input_groups: Tensor, group: int) -> Tensor | None:
    """Return the group of each input as a grid has it: None where groups are consecutive inputs.

    Args:
        input_groups: (in), integers.
        group: inputs in each.

    Example:
        >>> ordered_groups(torch.tensor([1, 0, 0, 1]), 2)
        tensor([1, 0, 0, 1], dtype=torch.int32)
        >>> ordered_groups(torch.tensor([0, 0, 1, 1]), 2) is None
        True
    """
    consecutive = torch.arange(len(input_groups), device=input_groups.device) // group
    # int32, as packed checkpoints have them
    return None if torch.equal(input_groups.long(), consecutive) else input_groups.int()


def _slices(weight: Tensor) -> list[slice]:
    """Return the rows of a weight in parts that are worked on one by one."""
    return [slice(start, start + ROWS) for start in range(0, len(weight), ROWS)]


def share_of_zeros(weight: Tensor) -> float:
    """Return the share of the weights that are exactly 0.

    Example:
        >>> share_of_zeros(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
        0.25
    """
    return 1 - int(weight.count_nonzero()) / weight.numel()


def save_grids(grids: Mapping[str, QuantizationGrid], folder: Path) -> None:
    """Write the grids of a model's layers, by name, into files of their own in its folder."""
    tensors: dict[str, Tensor] = {}
    plain_fields: dict[str, dict[str, float]] = {}
    for name, grid in grids.items():
        tensors[f"{name}/scale"] = grid.scale.contiguous()
        tensors[f"{name}/zero"] = grid.zero.contiguous()
        if grid.input_groups is not None:
            tensors[f"{name}/input_groups"] = grid.input_groups.contiguous()
        plain_fields[name] = {field: getattr(grid, field) for field in _PLAIN_FIELDS}
        if grid.real_zero:  # the others' files are as they were before there were such grids
            plain_fields[name]["real_zero"] = True
    write_tensors(tensors, folder / _FILE)
    (folder / _FIELDS_FILE).write_text(json.dumps(plain_fields))


def load_grids(folder: Path, device: str | torch.device = "cpu") -> dict[str, QuantizationGrid]:
    """Return the grids that ``save_grids`` wrote; none where it wrote nothing.

    Args:
        folder: of the model.
        device: where the grids are to be: that of the weights, which they are compared with.
    """
    if not (folder / _FILE).exists():
        return {}
    tensors = load_file(folder / _FILE)
    plain_fields = json.loads((folder / _FIELDS_FILE).read_text())
    grids = {}
    for name, fields in plain_fields.items():
        grid = QuantizationGrid(
            scale=tensors[f"{name}/scale"],
            zero=tensors[f"{name}/zero"],
            input_groups=tensors.get(f"{name}/input_groups"),
            **fields,
        )
        grids[name] = grid.to(device)
    return grids
