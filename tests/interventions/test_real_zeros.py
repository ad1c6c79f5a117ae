"""Grids whose zeros are real numbers: 0 is on none, and what was pruned stays 0 beside them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from interventions.anatomy import block_linears
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.lm import LM
from interventions.quantization_grid import ROWS, QuantizationGrid, load_grids, save_grids

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def real(bits: int = 2) -> QuantizationGrid:
    """One output of one group of four inputs: at 2 bits -0.625, -0.125, 0.375 and 0.875."""
    return QuantizationGrid(bits, 4, torch.tensor([[0.5]]), torch.tensor([[1.25]]), real_zero=True)


def random_grid(bits: int) -> tuple[QuantizationGrid, Tensor, Tensor]:
    """A grid with zeros within and beyond its integers; its values, a third of them pruned."""
    generator = torch.Generator().manual_seed(bits)
    shape = (2 * ROWS + 3, 3)
    scale = 10 ** (-3 * torch.rand(shape, generator=generator))
    zero = (3 * torch.rand(shape, generator=generator) - 1) * 2**bits
    grid = QuantizationGrid(bits, 32, scale, zero, real_zero=True)
    integers = torch.randint(2**bits, (len(scale), 96), generator=generator)
    values = grid.values(integers)
    return grid, values, values.masked_fill(torch.rand(values.shape, generator=generator) < 0.3, 0)


def test_a_value_is_the_scale_times_the_integer_less_the_real_zero() -> None:
    expected = torch.tensor([[-0.625, -0.125, 0.375, 0.875]])
    assert torch.equal(real().values(torch.tensor([[0, 1, 2, 3]])), expected)
    assert torch.equal(real().integers(expected), torch.tensor([[0.0, 1.0, 2.0, 3.0]]))


def test_a_weight_is_rounded_after_its_zero_is_added() -> None:
    """By hand: .1 / .5 + 1.25 is 1.45, so 1; -.2 / .5 + 1.25 is .85, so 1; and so on."""
    weight = torch.tensor([[0.1, -0.2, 0.2, -0.4]])
    assert torch.equal(real().integers(weight), torch.tensor([[1.0, 1.0, 2.0, 0.0]]))
    assert torch.equal(real().nearest(weight), torch.tensor([[-0.125, -0.125, 0.375, -0.625]]))


def test_weights_beyond_the_grid_become_its_ends() -> None:
    nearest = real().nearest(torch.tensor([[-9.0, 9.0, -0.9, 0.9]]))
    assert torch.equal(nearest, torch.tensor([[-0.625, 0.875, -0.625, 0.875]]))


def test_an_integer_zero_is_added_after_the_rounding_as_ever() -> None:
    """A tie goes to the even number of steps, whatever the zero: .5 steps are 0, 1.5 are 2."""
    whole = QuantizationGrid(3, 4, torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    weight = torch.tensor([[0.5, 1.5, 2.5, -0.5]])
    assert torch.equal(whole.integers(weight), torch.tensor([[1.0, 3.0, 3.0, 1.0]]))
    moved = replace(whole, real_zero=True)
    assert torch.equal(moved.integers(weight), torch.tensor([[2.0, 2.0, 4.0, 0.0]]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_stays_zero_and_the_least_weight_does_not(dtype: torch.dtype) -> None:
    weight = torch.tensor([[0.0, -0.0, 1e-7, -1e-7]], dtype=dtype)
    nearest = real().nearest(weight)
    assert nearest.dtype is dtype
    assert torch.equal(nearest.float(), torch.tensor([[0.0, 0.0, -0.125, -0.125]]))


def test_a_grid_with_integer_zeros_holds_no_zero_that_is_not_its_value() -> None:
    """Its zero is the integer 9, which two bits do not have."""
    whole = QuantizationGrid(2, 2, torch.tensor([[0.5]]), torch.tensor([[9.0]]))
    assert whole.holds(torch.tensor([[-4.5, -3.0]]))
    assert not whole.holds(torch.tensor([[-4.5, 0.0]]))
    assert replace(whole, real_zero=True).holds(torch.tensor([[-4.5, 0.0]]))


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("loaded", DTYPES)
@pytest.mark.parametrize("saved", DTYPES)
def test_pruned_weights_are_on_the_grid_in_every_dtype_as_they_are_loaded(
    saved: torch.dtype, loaded: torch.dtype, bits: int
) -> None:
    grid, values, pruned = random_grid(bits)
    for weight in (values, pruned):
        assert grid.holds(weight.to(saved).to(loaded))
    assert torch.equal(grid.nearest(pruned), pruned)
    assert torch.equal(grid.nearest(pruned) == 0, pruned == 0)


def test_what_is_neither_a_value_nor_zero_is_seen_wherever_it_is() -> None:
    grid, _, pruned = random_grid(4)
    for row in (0, ROWS, len(pruned) - 1):
        for value in (1e-6, -1e-6):
            changed = pruned.clone()
            changed[row, 95] = value
            assert not grid.holds(changed)
    unit = replace(real(4), zero=torch.tensor([[0.3]]))
    weight = unit.values(torch.tensor([[11, 4, 0, 15]]))
    assert unit.holds(weight)
    for towards in (torch.inf, -torch.inf):
        assert not unit.holds(torch.nextafter(weight, torch.tensor(towards)))


def test_integers_that_are_stored_are_those_of_values_and_no_zero_has_one() -> None:
    for dtype in DTYPES:
        stored = real().values(torch.tensor([[3, 1, 0, 2]])).to(dtype)
        read = real().stored_integers(stored)
        assert read is not None and torch.equal(read, torch.tensor([[3.0, 1.0, 0.0, 2.0]]))
        stored[0, 1] = 0
        assert real().holds(stored) and real().stored_integers(stored) is None


def test_a_zero_that_an_integer_stands_for_has_that_integer() -> None:
    """As in a group of zeros alone, whose zero is 0."""
    zeros = replace(real(), zero=torch.tensor([[0.0]]))
    read = zeros.stored_integers(torch.zeros(1, 4))
    assert read is not None and torch.equal(read, torch.zeros(1, 4))


def test_groups_may_be_of_any_inputs_and_rows_and_devices_keep_the_kind() -> None:
    groups = torch.tensor([1, 0, 0, 1], dtype=torch.int32)
    grid = QuantizationGrid(
        2,
        2,
        torch.tensor([[0.5, 1.0]]),
        torch.tensor([[1.25, 0.5]]),
        input_groups=groups,
        real_zero=True,
    )
    expected = torch.tensor([[-0.5, 0.375, 0.0, 2.5]])
    assert torch.equal(grid.nearest(torch.tensor([[-0.1, 0.2, 0.0, 9.0]])), expected)
    assert grid.holds(expected) and grid.rows(slice(0, 1)).holds(expected)
    assert grid.to("meta").real_zero and grid.nearest(torch.empty(1, 4, device="meta")).is_meta


def test_a_saved_grid_is_loaded_with_its_kind_and_earlier_files_have_integers(
    tmp_path: Path,
) -> None:
    whole = QuantizationGrid(2, 4, torch.tensor([[0.5]]), torch.tensor([[1.0]]))
    save_grids({"0.a": real(), "0.b": whole}, tmp_path)
    loaded = load_grids(tmp_path)
    assert loaded["0.a"].real_zero and not loaded["0.b"].real_zero
    assert torch.equal(loaded["0.a"].zero, real().zero)
    fields = json.loads((tmp_path / "quantization_grids.json").read_text())
    # as they were written before there were real zeros
    assert fields["0.b"] == {"bits": 2, "group": 4, "pruned": 0.0, "zeros": 0.0}
    assert fields["0.a"] == {**fields["0.b"], "real_zero": True}


# in a model


def quantize(lm: LM, bits: int = 3) -> None:
    """Put every layer on a grid with real zeros, with 0 between two values."""
    for name, matrix in block_linears(lm.model).items():
        shape = (matrix.out_features, matrix.in_features // 32)
        scale = matrix.weight.abs().max() / 2 ** (bits - 1)
        grid = QuantizationGrid(
            bits,
            32,
            scale.expand(shape).clone(),
            torch.full(shape, 2 ** (bits - 1) - 0.5),
            real_zero=True,
        )
        lm.quantize(name, matrix.weight, grid, matrix.weight)


def prune(lm: LM, every: int) -> None:
    """Set one column in so many to 0."""
    for matrix in block_linears(lm.model).values():
        matrix.weight[:, ::every] = 0


@pytest.mark.parametrize("prunes_first", [True, False])
def test_bits_are_those_of_weights_that_stay_and_one_of_each_that_was_pruned(
    lm: LM, small: Data, prunes_first: bool
) -> None:
    """A quarter pruned: 3 x .75 + .25 + 32 / 32 for scale and zero."""
    if prunes_first:
        prune(lm, 4)
    quantize(lm)
    assert measure(lm, small, ["sparsity"])["sparsity"].value == pytest.approx(
        0.25 if prunes_first else 0
    )
    if not prunes_first:
        assert measure(lm, small, ["average_bits"])["average_bits"].value == pytest.approx(4)
        prune(lm, 4)
    assert all(grid.holds(block_linears(lm.model)[name].weight) for name, grid in lm.grids.items())
    assert measure(lm, small, ["average_bits"])["average_bits"].value == pytest.approx(3.5)
    shares = {lm.pruned(name, m.weight) for name, m in block_linears(lm.model).items()}
    assert shares == {0.25}


def test_what_was_pruned_again_counts_once(lm: LM, small: Data) -> None:
    """A quarter before and half in all after the rounding: 3 x .5 + .5 + 1."""
    prune(lm, 4)
    quantize(lm)
    prune(lm, 2)
    assert measure(lm, small, ["average_bits"])["average_bits"].value == pytest.approx(3)
