"""Grids of layers that are swept together: which zeros stay, and how a column is rounded."""

from typing import Any

import torch

from interventions.compression.swept_grids import SweptGrids

WEIGHTS = [torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 2.0], [0.0, 6.0]])]


def grids_of(weights: list[torch.Tensor], **settings: Any) -> SweptGrids:
    defaults = {"bits": 2, "group": -1, "symmetric": False, "static_groups": True}
    return SweptGrids.of(weights, None, **{**defaults, "keep_zeros": True, **settings})


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
