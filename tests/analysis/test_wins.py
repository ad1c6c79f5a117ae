import math
from typing import Any

import pandas as pd
import pytest

from analysis.inference import intervals
from analysis.metrics import composability as co
from tests.analysis.synthetic import curve, frame
from tests.analysis.test_points import TABLE_2

GROUPS = {"wanda": "pruning", "sparsegpt": "pruning", "awq": "quantization", "gptq": "quantization"}


def cell(
    method: str, error: float, sensitivity: float = 0.0, group: str = "pruning", **more: Any
) -> dict[str, Any]:
    return {
        "group": group, "method": method, "versus": "ft", "criterion": "edit_success",
        "order_free_error": error, "order_sensitivity": sensitivity, **more,
    }  # fmt: skip


def won(cells: list[dict[str, Any]], measure: str = "order_free_error") -> dict[str, int]:
    counted = co.wins(pd.DataFrame(cells))
    return dict(counted[counted.measure == measure].set_index("method").wins)


def test_the_row_wins_of_table_2_from_its_printed_cells() -> None:
    printed = pd.read_csv(TABLE_2).rename(columns={"row": "method", "column": "versus"})
    counted = co.wins(printed.assign(group=printed.method.map(GROUPS)))
    first = counted.criterion.isin(["edit_success", "edit_generalization"])
    assert dict(counted[first].groupby("method").wins.sum()) == {
        "wanda": 6,
        "sparsegpt": 4,
        "awq": 12,
        "gptq": 0,
    }
    assert dict(counted[~first].groupby("method").wins.sum()) == {
        "wanda": 0,
        "sparsegpt": 4,
        "awq": 5,
        "gptq": 2,
    }
    assert (counted.groupby("method").comparisons.sum() == 24).all()


def test_a_tie_is_a_loss_for_both() -> None:
    counted = co.wins(pd.DataFrame([cell("wanda", 0.2), cell("sparsegpt", 0.2)]))
    assert (counted.wins.sum(), counted[counted.measure == "order_free_error"].ties.sum()) == (0, 2)


def test_rounding_of_floats_is_no_win() -> None:
    assert won([cell("wanda", 0.3), cell("sparsegpt", 0.1 + 0.2)]) == {"wanda": 0, "sparsegpt": 0}


def test_methods_compete_within_their_group_only() -> None:
    assert won([cell("wanda", 0.2), cell("awq", 0.1, group="quantization")]) == {}


def test_methods_compete_at_equal_levels_only() -> None:
    cells = [
        cell("awq", 0.2, level=2),
        cell("gptq", 0.1, level=2),
        cell("awq", 0.05, level=4),
        cell("gptq", 0.1, level=8),
    ]
    assert won([{**one, "group": "quantization"} for one in cells]) == {"awq": 0, "gptq": 1}


def test_a_method_without_a_value_does_not_compete() -> None:
    assert won([cell("wanda", math.nan), cell("sparsegpt", 0.9)]) == {}


def test_an_infinite_error_loses_and_two_tie() -> None:
    assert won([cell("wanda", math.inf), cell("sparsegpt", 5.0)]) == {"wanda": 0, "sparsegpt": 1}
    assert won([cell("wanda", math.inf), cell("sparsegpt", math.inf)]) == {
        "wanda": 0,
        "sparsegpt": 0,
    }


def test_of_three_methods_one_wins_and_two_that_share_the_first_place_tie() -> None:
    assert won([cell("ga", 0.1), cell("gd", 0.2), cell("rmu", 0.3)]) == {"ga": 1, "gd": 0, "rmu": 0}
    assert won([cell("ga", 0.1), cell("gd", 0.1), cell("rmu", 0.3)]) == {"ga": 0, "gd": 0, "rmu": 0}


def test_both_sides_of_a_pair_are_methods() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8]),
        *curve("lora", "wanda", [0.5], [0.7], [0.6]),
    ]
    counted = co.wins(co.cells(co.point(frame(runs))))
    assert dict(counted[counted.measure == "order_free_error"].set_index("method").wins) == {
        "ft": 1,
        "lora": 0,
    }
    assert set(counted.versus_group) == {"pruning"}


@pytest.mark.parametrize(("gap", "expected"), [(0.002, 0), (0.2, 1)])
def test_a_win_within_the_interval_is_a_tie(gap: float, expected: int) -> None:
    """Nine edit batches whose values scatter by 0.1: a difference of 0.002 is noise, one of 0.2 is not."""
    runs = []
    for batch in range(9):
        scatter = 0.1 * (batch % 3 - 1)
        runs += curve("ft", "wanda", [0.5], [0.6 + gap + scatter], [0.3], edit_batch=batch)
        runs += curve("ft", "sparsegpt", [0.5], [0.6 - scatter], [0.3], edit_batch=batch)
    table = frame(runs)
    points = co.point(table)
    views = co.cells(points)
    tied = intervals.tied(table, points, views, co.duels(views))
    counted = co.wins(views, tied)
    errors = counted[(counted.measure == "order_free_error") & (counted.method == "wanda")]
    assert (errors.wins.sum(), errors.ties.sum()) == (expected, 1 - expected)
    assert (
        co.wins(views).query("measure == 'order_free_error' and method == 'wanda'").wins.sum() == 1
    )
