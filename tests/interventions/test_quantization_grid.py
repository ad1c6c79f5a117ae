"""The values that a quantized layer can take, against arithmetic by hand."""

import pytest
import torch

from interventions.quantization_grid import ROWS, QuantizationGrid, share_of_zeros


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


def test_a_weight_may_differ_by_a_thousandth_of_a_step_but_not_by_more() -> None:
    unit = QuantizationGrid(4, 2, torch.tensor([[1.0]]), torch.tensor([[8.0]]))
    assert unit.holds(torch.tensor([[3.0009, -4.0]]))
    assert not unit.holds(torch.tensor([[3.0011, -4.0]]))
    assert not unit.holds(torch.tensor([[8.0, -4.0]]))  # 16 is no integer of 4 bits


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_values_are_on_the_grid_as_every_dtype_stores_them(bits: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(bits)
    scale = torch.rand(8, 2, generator=generator) / 10 + 0.01
    zero = torch.randint(2**bits, (8, 2), generator=generator).float()
    random_grid = QuantizationGrid(bits, 64, scale, zero)
    integers = torch.randint(2**bits, (8, 128), generator=generator)
    assert random_grid.holds(random_grid.values(integers).to(dtype))


def test_a_weight_of_another_shape_is_on_no_grid() -> None:
    assert not grid().holds(torch.zeros(2, 2))
    assert not grid().holds(torch.zeros(3, 4))


def test_the_share_of_zeros_counts_exact_zeros_only() -> None:
    assert share_of_zeros(torch.tensor([[0.0, -0.0], [1e-30, 1.0]])) == 0.5
    assert share_of_zeros(torch.zeros(2, 3)) == 1
    assert share_of_zeros(torch.ones(3)) == 0
