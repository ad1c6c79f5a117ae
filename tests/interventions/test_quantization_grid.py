"""The values that a quantized layer can take, against arithmetic by hand."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from interventions.lm import LM
from interventions.quantization_grid import (
    ROWS,
    QuantizationGrid,
    load_grids,
    ordered_groups,
    save_grids,
    share_of_zeros,
)

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def grid(bits: int = 2) -> QuantizationGrid:
    """Two outputs of two groups of two inputs."""
    scale = torch.tensor([[1.0, 0.5], [2.0, 0.25]])
    zero = torch.tensor([[0.0, 1.0], [3.0, 2.0]])
    return QuantizationGrid(bits, 2, scale, zero)


def test_a_value_is_its_groups_scale_times_the_integer_less_the_zero() -> None:
    integers = torch.tensor([[0, 3, 0, 3], [0, 3, 0, 3]])
    expected = torch.tensor([[0.0, 3.0, -0.5, 1.0], [-6.0, 0.0, -0.5, 0.25]])
    assert torch.equal(grid().values(integers), expected)
    assert torch.equal(grid().integers(expected), integers.float())


def test_the_nearest_value_lies_between_the_lowest_and_the_highest_integer() -> None:
    weight = torch.tensor([[-9.0, 1.4, 0.3, 99.0], [-9.0, 9.0, 0.1, -0.6]], dtype=torch.bfloat16)
    nearest = grid().nearest(weight)
    assert nearest.dtype is torch.bfloat16
    expected = torch.tensor([[0.0, 1.0, 0.5, 1.0], [-6.0, 0.0, 0.0, -0.5]])
    assert torch.equal(nearest.float(), expected)


def test_rows_are_those_of_the_outputs() -> None:
    rows = grid().rows(slice(1, 2))
    assert torch.equal(rows.scale, grid().scale[1:2]) and torch.equal(rows.zero, grid().zero[1:2])
    assert (rows.bits, rows.group) == (2, 2)


def test_a_weight_off_the_grid_is_seen_wherever_it_is() -> None:
    rows = 2 * ROWS + 3
    wide = QuantizationGrid(4, 4, torch.full((rows, 2), 0.1), torch.full((rows, 2), 8.0))
    weight = wide.values(torch.randint(16, (rows, 8), generator=torch.Generator().manual_seed(0)))
    assert wide.holds(weight)
    for row in (0, ROWS, rows - 1):
        changed = weight.clone()
        changed[row, 7] += 0.01
        assert not wide.holds(changed)


def test_a_weight_may_not_differ_from_a_value_by_the_least() -> None:
    unit = QuantizationGrid(4, 2, torch.tensor([[0.3]]), torch.tensor([[8.0]]))
    weight = unit.values(torch.tensor([[11, 4]]))
    assert unit.holds(weight)
    for towards in (torch.inf, -torch.inf):
        assert not unit.holds(torch.nextafter(weight, torch.tensor(towards)))
    assert not unit.holds(torch.tensor([[8 * 0.3, -4 * 0.3]]))  # 16 is no integer of 4 bits


def random_grid(bits: int, ordered: bool) -> tuple[QuantizationGrid, Tensor]:
    """A grid of 8 outputs and 128 inputs with scales of all sizes, and integers on it."""
    generator = torch.Generator().manual_seed(bits)
    scale = 10 ** (-3 * torch.rand(8, 2, generator=generator))
    zero = torch.randint(2**bits, (8, 2), generator=generator).float()
    groups = torch.randperm(128, generator=generator) % 2 if ordered else None
    integers = torch.randint(2**bits, (8, 128), generator=generator)
    return QuantizationGrid(bits, 64, scale, zero, input_groups=groups), integers


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_on_the_grid_as_every_dtype_stores_the_values(
    bits: int, dtype: torch.dtype, ordered: bool
) -> None:
    grid, integers = random_grid(bits, ordered)
    values = grid.values(integers)
    stored = values.to(dtype)
    assert grid.holds(stored)
    read = grid.stored_integers(stored)
    assert read is not None and torch.equal(grid.values(read).to(dtype), stored)
    assert torch.equal(grid.nearest(values), values)
    for row, column in ((0, 0), (7, 127), (3, 64)):
        moved = stored.clone()
        moved[row, column] = torch.nextafter(stored[row, column], torch.tensor(99.0, dtype=dtype))
        near = values[row, column] - grid.values(integers + 1)[row, column]
        # at 8 bits the next number may be the next value
        if near.abs() > 2 * (moved - stored).abs().max().float():
            assert not grid.holds(moved)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("loaded", DTYPES)
@pytest.mark.parametrize("saved", DTYPES)
def test_weights_stay_on_the_grid_when_they_are_loaded_in_another_dtype(
    saved: torch.dtype, loaded: torch.dtype, bits: int
) -> None:
    grid, integers = random_grid(bits, ordered=True)
    stored = grid.values(integers).to(saved).to(loaded)
    assert grid.holds(stored)
    read = grid.stored_integers(stored)
    assert read is not None and torch.equal(grid.values(read).to(saved).to(loaded), stored)


def test_a_layer_was_stored_in_one_dtype_only() -> None:
    grid, integers = random_grid(4, ordered=False)
    values = grid.values(integers)
    mixed = values.clone()
    mixed[:4] = values[:4].bfloat16().float()
    assert not torch.equal(mixed, values) and not grid.holds(mixed)
    assert grid.stored_integers(mixed) is None


def test_groups_may_be_of_any_inputs() -> None:
    """By hand: inputs 0 and 3 are of group 1, inputs 1 and 2 of group 0."""
    ordered = replace(grid(), input_groups=torch.tensor([1, 0, 0, 1], dtype=torch.int32))
    expected = torch.tensor([[-0.5, 3.0, 0.0, 1.0], [-0.5, 0.0, -6.0, 0.25]])
    integers = torch.tensor([[0, 3, 0, 3], [0, 3, 0, 3]])
    assert torch.equal(ordered.values(integers), expected)
    assert torch.equal(ordered.integers(expected), integers.float())
    assert torch.equal(ordered.nearest(expected + 0.1), expected)
    assert ordered.holds(expected) and not grid().holds(expected)
    assert ordered.rows(slice(1, 2)).holds(expected[1:])


def test_a_grid_moves_with_all_of_its_tensors() -> None:
    groups = torch.tensor([1, 0, 0, 1], dtype=torch.int32)
    moved = replace(grid(), input_groups=groups).to("meta")
    tensors = (moved.scale, moved.zero, moved.input_groups)
    assert all(tensor is not None and tensor.is_meta for tensor in tensors)
    assert grid().to("meta").input_groups is None


def test_grids_are_loaded_as_they_were_saved(tmp_path: Path) -> None:
    groups = torch.tensor([1, 0, 0, 1], dtype=torch.int32)
    grids = {"0.a": replace(grid(), input_groups=groups, pruned=0.25), "1.b": grid(3)}
    save_grids(grids, tmp_path)
    loaded = load_grids(tmp_path)
    assert list(loaded) == ["0.a", "1.b"]
    for name, saved in grids.items():
        for field in fields(QuantizationGrid):
            value, expected = (getattr(g, field.name) for g in (loaded[name], saved))
            same = torch.equal(value, expected) if isinstance(value, Tensor) else value == expected
            assert same, (name, field.name)
    assert loaded["0.a"].input_groups is not None
    assert loaded["0.a"].input_groups.dtype is torch.int32
    assert all(g.scale.is_meta for g in load_grids(tmp_path, "meta").values())


def test_a_weight_of_another_shape_is_on_no_grid() -> None:
    assert not grid().holds(torch.zeros(2, 2))
    assert not grid().holds(torch.zeros(3, 4))


def test_the_share_of_zeros_counts_exact_zeros_only() -> None:
    assert share_of_zeros(torch.tensor([[0.0, -0.0], [1e-30, 1.0]])) == 0.5
    assert share_of_zeros(torch.zeros(2, 3)) == 1
    assert share_of_zeros(torch.ones(3)) == 0


# wherever the weights are


def other_device(device: str) -> QuantizationGrid:
    """A grid in activation order whose tensors are on a device."""
    ordered = replace(grid(), input_groups=torch.tensor([1, 0, 0, 1], dtype=torch.int32))
    return ordered.to(device)


@pytest.mark.parametrize("place", ["cpu", "meta"])
def test_a_grid_works_on_its_weights_device_wherever_its_own_tensors_are(place: str) -> None:
    """The meta device stands for a GPU: an operation on tensors of two devices fails there, too."""
    weight, there = torch.empty(2, 4, device="meta", dtype=torch.bfloat16), other_device(place)
    for tensor in (there.nearest(weight), there.integers(weight), there.values(weight)):
        assert tensor.is_meta and tensor.shape == weight.shape


def test_a_quantized_layers_grid_is_put_where_its_weights_are(
    lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a backend that works elsewhere, grid and values are on another device."""
    monkeypatch.setattr("interventions.lm.share_of_zeros", lambda weight: 0.0)
    lm.quantize("0.a", torch.zeros(2, 4, device="meta"), grid(), torch.ones(2, 4))
    assert lm.grids["0.a"].scale.is_meta and lm.grids["0.a"].zero.is_meta


def test_grids_are_loaded_to_the_device_that_is_asked_for(tmp_path: Path) -> None:
    save_grids({"0.a": other_device("cpu"), "0.b": grid()}, tmp_path)
    for loaded in load_grids(tmp_path, "meta").values():
        tensors = [value for value in vars(loaded).values() if isinstance(value, Tensor)]
        assert len(tensors) >= 2 and all(tensor.is_meta for tensor in tensors)


def test_groups_of_consecutive_inputs_need_no_order() -> None:
    assert ordered_groups(torch.tensor([0, 0, 0, 1, 1, 1]), 3) is None
    groups = ordered_groups(torch.tensor([0, 1, 0, 1, 1, 0]), 3)
    assert groups is not None and groups.dtype is torch.int32
    assert groups.tolist() == [0, 1, 0, 1, 1, 0]
