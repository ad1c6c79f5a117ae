"""Grids of layers that are swept together: which zeros stay, and how a column is rounded."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch

from interventions.compression.swept_grids import SweptGrids

WEIGHTS = [torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 2.0], [0.0, 6.0]])]


def grids_of(
    weights: list[torch.Tensor], order: torch.Tensor | None = None, **settings: Any
) -> SweptGrids:
    defaults = {"bits": 2, "group": -1, "symmetric": False, "static_groups": True}
    return SweptGrids.of(weights, order, **{**defaults, "keep_zeros": True, **settings})


def test_zeros_stay_where_that_is_asked_for_and_there_are_some() -> None:
    pruned = grids_of(WEIGHTS).pruned
    assert pruned is not None
    assert pruned.tolist() == [[False, False, True], [True, False, False]]
    assert grids_of(WEIGHTS, keep_zeros=False).pruned is None
    assert grids_of([weight + 1 for weight in WEIGHTS]).pruned is None
    assert grids_of([WEIGHTS[0] + 1, WEIGHTS[1]]).pruned is not None


def test_a_column_is_rounded_to_its_grid_and_a_pruned_weight_to_0() -> None:
    """Steps of 1, 2/3 and 2 from 0 on, three at most."""
    columns = torch.tensor([0, 1])
    to_come = torch.tensor([[2.6, 1.3, 2.2], [1.2, 9.0, 5.1]])
    for keep_zeros, second in ((True, [0, 2, 6]), (False, [1, 2, 6])):
        fix = grids_of(WEIGHTS, keep_zeros=keep_zeros).begin(to_come, columns, torch.ones(2))
        torch.testing.assert_close(
            fix(0, to_come[0].clone()), torch.tensor([3, 4 / 3, 0 if keep_zeros else 2])
        )
        torch.testing.assert_close(fix(1, to_come[1].clone()), torch.tensor(second).float())


def test_a_grid_of_three_bits_has_eight_values_of_which_0_is_the_least() -> None:
    grids = grids_of([torch.tensor([[7.0, 1.0]])], bits=3)
    fix = grids.begin(torch.zeros(2, 1), torch.tensor([0, 1]), torch.ones(2))
    values = [fix(0, torch.tensor([value])).item() for value in (-1.0, 0.4, 6.0, 7.6)]
    assert values == [0, 0, 6, 7]


LAYERS = [torch.tensor([[3.0, 0, 1, 2, 7, 5]]), torch.tensor([[1.0, 2, 4, 8, 3, 9]])]
ORDER = torch.tensor([2, 0, 3, 1, 5, 4])
# as they are when the sweep begins, in its order; of layer 0 the fourth was pruned
TO_COME = torch.tensor([[1.0, 4], [3, -2], [0.75, 6], [9, 0], [12, -12], [6, 6]])


@pytest.mark.parametrize(
    ("starts", "factors"), [((0, 3), (1, 2)), ((0, 2), (2, 2)), ((0, 1, 2), (4, 4))]
)
def test_a_dynamic_group_is_fitted_by_the_block_of_columns_in_which_it_begins(
    starts: Sequence[int], factors: tuple[int, int]
) -> None:
    """In every block the weights to come are twice those of the block before."""
    grids = grids_of(LAYERS, ORDER, group=2, static_groups=False)
    for index, (start, end) in enumerate(pairwise([*starts, 6])):
        grids.begin(TO_COME[start:] * 2**index, ORDER[start:end], torch.ones(end - start))
    second, third = factors
    assert grids.scale.tolist() == [[1, 2], [0.25 * second, 2 * second], [4 * third, 6 * third]]
    assert grids.zero.tolist() == [[0, 1], [0, 0], [0, 2]]
    layers = list(grids.by_layer([1, 1]))
    assert [(layer.group, layer.bits) for layer in layers] == [(2, 2)] * 2
    assert layers[0].scale.tolist() == [[1, 0.25 * second, 4 * third]]
    assert layers[1].scale.tolist() == [[2, 2 * second, 6 * third]]
    assert [layer.zero.tolist() for layer in layers] == [[[0, 0, 0]], [[1, 0, 2]]]
    for input_groups in (layers[0].input_groups, layers[1].input_groups):
        assert input_groups is not None and input_groups.tolist() == [0, 1, 0, 1, 2, 2]


def test_a_dynamic_group_of_layers_without_zeros_spans_all_of_its_weights() -> None:
    grids = grids_of(LAYERS, ORDER, group=2, static_groups=False, keep_zeros=False)
    grids.begin(TO_COME, ORDER, torch.ones(6))
    assert grids.scale.tolist() == [[1, 2], [3, 2], [4, 6]]


def test_static_groups_are_of_consecutive_inputs_in_any_order_and_no_block_fits_them() -> None:
    grids = grids_of(LAYERS[:1], ORDER, group=2)
    assert grids.input_groups.tolist() == [0, 0, 1, 1, 2, 2]
    grids.fit_all(LAYERS[:1])
    grids.begin(9 * TO_COME[:, :1], ORDER, torch.ones(6))
    [grid] = grids.by_layer([1])
    torch.testing.assert_close(grid.scale, torch.tensor([[1, 2 / 3, 7 / 3]]))
    assert grid.zero.tolist() == [[0, 0, 0]] and grid.input_groups is None
