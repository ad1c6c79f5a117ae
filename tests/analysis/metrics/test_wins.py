import math
from typing import Any

import pandas as pd
import pytest

from analysis.metrics.composability import cells, duels, point, wins
from tests.analysis.printed import TABLE_2
from tests.analysis.synthetic import curve, frame

GROUPS = {"wanda": "pruning", "sparsegpt": "pruning", "awq": "quantization", "gptq": "quantization"}


def cell(
    method: str, error: float, sensitivity: float = 0.0, group: str = "pruning", **more: Any
) -> dict[str, Any]:
    return {
        "group": group, "method": method, "versus": "ft", "criterion": "edit_success",
        "order_free_error": error, "order_sensitivity": sensitivity, **more,
    }  # fmt: skip


def won(cells: list[dict[str, Any]], measure: str = "order_free_error") -> dict[str, int]:
    counted = wins(pd.DataFrame(cells))
    return dict(counted[counted.measure == measure].set_index("method").wins)


def test_the_row_wins_of_table_2_from_its_printed_cells() -> None:
    printed = pd.read_csv(TABLE_2).rename(columns={"row": "method", "column": "versus"})
    counted = wins(printed.assign(group=printed.method.map(GROUPS)))
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
    counted = wins(pd.DataFrame([cell("wanda", 0.2), cell("sparsegpt", 0.2)]))
    assert (counted.wins.sum(), counted[counted.measure == "order_free_error"].ties.sum()) == (0, 2)


def test_rounding_of_floats_is_no_win() -> None:
    assert won([cell("wanda", 0.3), cell("sparsegpt", 0.1 + 0.2)]) == {"wanda": 0, "sparsegpt": 0}


def test_methods_compete_within_their_group_only() -> None:
    assert won([cell("wanda", 0.2), cell("awq", 0.1, group="quantization")]) == {}


def test_what_was_trained_elsewhere_wins_nothing_and_takes_no_win() -> None:
    """Two adapters of somebody's own are no methods that compete."""
    adapters = [
        cell(f"adapter (path={name})", error, group="training")
        for name, error in (("a", 0.1), ("b", 0.2))
    ]
    assert wins(pd.DataFrame(adapters)).empty and duels(pd.DataFrame(adapters)).empty
    pruned = [cell("wanda", 0.3), cell("sparsegpt", 0.4)]
    assert won([*adapters, *pruned]) == won(pruned) == {"wanda": 1, "sparsegpt": 0}


def test_methods_compete_at_equal_levels_only() -> None:
    cells = [
        cell("awq", 0.2, level=2),
        cell("gptq", 0.1, level=2),
        cell("awq", 0.05, level=4),
        cell("gptq", 0.1, level=8),
    ]
    assert won([{**row, "group": "quantization"} for row in cells]) == {"awq": 0, "gptq": 1}


def test_a_method_without_a_value_does_not_compete() -> None:
    assert won([cell("wanda", math.nan), cell("sparsegpt", 0.9)]) == {}


def test_an_infinite_error_loses_and_two_tie() -> None:
    assert won([cell("wanda", math.inf), cell("sparsegpt", 5.0)]) == {"wanda": 0, "sparsegpt": 1}
    assert won([cell("wanda", math.inf), cell("sparsegpt", math.inf)]) == {
        "wanda": 0,
        "sparsegpt": 0,
    }


def test_infinite_errors_tie_with_each_other() -> None:
    counted = wins(pd.DataFrame([cell("wanda", math.inf), cell("sparsegpt", math.inf)]))
    assert counted[counted.measure == "order_free_error"].ties.tolist() == [1, 1]


def test_methods_compete_within_one_context_only() -> None:
    rows = [cell("wanda", 0.2, context="model=a"), cell("sparsegpt", 0.1, context="model=b")]
    assert won(rows) == {}


def test_of_three_methods_one_wins_and_two_that_share_the_first_place_tie() -> None:
    assert won([cell("ga", 0.1), cell("gd", 0.2), cell("rmu", 0.3)]) == {"ga": 1, "gd": 0, "rmu": 0}
    assert won([cell("ga", 0.1), cell("gd", 0.1), cell("rmu", 0.3)]) == {"ga": 0, "gd": 0, "rmu": 0}


def test_both_sides_of_a_pair_are_methods() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8]),
        *curve("lora", "wanda", [0.5], [0.7], [0.6]),
    ]
    counted = wins(cells(point(frame(runs))))
    assert dict(counted[counted.measure == "order_free_error"].set_index("method").wins) == {
        "ft": 1,
        "lora": 0,
    }
    assert set(counted.versus_group) == {"pruning"}


def test_a_cell_is_found_by_its_place_and_by_its_index() -> None:
    compared = cells(point(frame(curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7]))))
    assert list(compared.index) == list(range(len(compared))) == [0, 1, 2, 3]


def test_cells_of_a_variant_are_named_by_what_sets_it_apart() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8], **{"wanda.samples": 64}),
        *curve("ft", "wanda", [0.5], [0.7], [0.6], **{"wanda.samples": 128}),
    ]
    views = cells(point(frame(runs)))
    assert set(views.method) == {"ft", "wanda (samples=64)", "wanda (samples=128)"}
    assert list(views.strength.unique()) == ["sparsity"]
    assert list(views.row) == [0, 1, 0, 1]


def test_a_duel_is_between_the_two_lowest_errors() -> None:
    fought = duels(pd.DataFrame([cell("rmu", 0.3), cell("ga", 0.1), cell("gd", 0.25)]))
    errors = fought[fought.measure == "order_free_error"].iloc[0]
    assert (errors.best, errors.next) == (1, 2)
    assert errors.margin == pytest.approx(0.15)


def test_a_close_second_ties_where_the_difference_is_noise() -> None:
    rows = pd.DataFrame([cell("ga", 0.1), cell("gd", 0.11), cell("rmu", 0.3)])
    counted = wins(rows, duels(rows).measure == "order_free_error")
    errors = counted[counted.measure == "order_free_error"].set_index("method")
    assert dict(errors.ties) == {"ga": 1, "gd": 1, "rmu": 0}
    assert errors.wins.sum() == 0


def test_without_a_level_only_the_lowest_tie() -> None:
    errors = {"ga": 0.1, "gd": 0.1, "rmu": 0.3}
    rows = [cell(method, error, level=math.nan) for method, error in errors.items()]
    counted = wins(pd.DataFrame(rows)).query("measure == 'order_free_error'")
    assert counted.ties.tolist() == [1, 1, 0]


def test_methods_that_are_composed_with_different_ones_do_not_compete() -> None:
    assert won([cell("wanda", 0.2), {**cell("sparsegpt", 0.1), "versus": "lora"}]) == {}


def test_duels_and_wins_of_cells_without_levels_are_whole_tables() -> None:
    """Duels come by their keys, wins as their cells do; NaN is a level, too."""
    rows = [
        cell("wanda", 0.5, 0.25, level=math.nan, criterion="mmlu"),
        cell("sparsegpt", 0.25, 0.25, level=math.nan, criterion="mmlu"),
        cell("wanda", 0.125, math.nan, level=math.nan, criterion="bits"),
        cell("sparsegpt", 0.5, math.nan, level=math.nan, criterion="bits"),
    ]
    fought = duels(pd.DataFrame(rows))
    columns = ["group", "versus", "criterion", "measure", "level", "best", "next", "margin"]
    assert list(fought) == columns and fought.index.tolist() == [0, 1, 2]
    assert list(fought[["criterion", "measure", "best", "next", "margin"]].itertuples(False)) == [
        ("bits", "order_free_error", 2, 3, 0.375),
        ("mmlu", "order_free_error", 1, 0, 0.25),
        ("mmlu", "order_sensitivity", 0, 1, 0.0),
    ]
    counted = wins(pd.DataFrame(rows))
    columns = ["group", "method", "criterion", "measure", "level", "wins", "ties", "comparisons"]
    assert list(counted) == columns
    named = counted.drop(columns=["group", "level"]).itertuples(index=False)
    assert list(named) == [
        ("wanda", "mmlu", "order_free_error", 0, 0, 1),
        ("sparsegpt", "mmlu", "order_free_error", 1, 0, 1),
        ("wanda", "bits", "order_free_error", 1, 0, 1),
        ("sparsegpt", "bits", "order_free_error", 0, 0, 1),
        ("wanda", "mmlu", "order_sensitivity", 0, 1, 1),
        ("sparsegpt", "mmlu", "order_sensitivity", 0, 1, 1),
    ]
