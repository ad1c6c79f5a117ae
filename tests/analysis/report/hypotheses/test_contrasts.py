import numpy as np
import pandas as pd
import pytest

from analysis.report.hypotheses.contrasts import (
    CellValues,
    LacksCells,
    clipped,
    order_free_errors,
    squared_differences,
    weighted,
)


def values(**columns: list[float]) -> CellValues:
    return CellValues(pd.DataFrame({(name, "x"): column for name, column in columns.items()}))


def test_runs_become_a_table_by_replicate() -> None:
    runs = pd.DataFrame({"cell": ["a", "a", "b"], "replicate": [0, 1, 1], "x": [0.1, 0.2, 0.3]})
    table = CellValues.from_runs(runs, ["x"]).table
    assert table[("a", "x")].tolist() == [0.1, 0.2]
    assert table[("b", "x")].isna().tolist() == [True, False]
    assert CellValues.from_runs(pd.DataFrame(), ["x"]).table.empty


def test_only_replicates_that_all_cells_have_are_compared() -> None:
    some = values(a=[0.1, 0.2, np.nan], b=[np.nan, 0.4, 0.5])
    assert weighted(some.common(["a", "b"]), [(1, "a", "x"), (-1, "b", "x")]) == pytest.approx(-0.2)
    with pytest.raises(LacksCells, match="c"):
        some.common(["a", "c"])


def test_a_single_value_of_what_never_changes_holds_for_every_replicate() -> None:
    some = values(base=[np.nan, 0.9, np.nan], a=[0.1, 0.2, 0.3])
    assert len(some.common(["base", "a"]).table) == 1
    gaps = weighted(some.common(["base", "a"], ["base"]), [(1, "base", "x"), (-1, "a", "x")])
    assert gaps == pytest.approx([0.8, 0.7, 0.6])
    assert some.table["base", "x"].isna().sum() == 2  # the table itself stays


def test_values_below_chance_count_as_chance() -> None:
    some = values(a=[0.1, 0.5], b=[0.3, 0.3])
    gaps = clipped(some, [(1, "a", "x"), (-1, "b", "x")], 0.25)
    assert gaps == pytest.approx([-0.05, 0.2])


def test_of_items_only_a_mean_can_be_below_chance() -> None:
    some = values(a=[0, 0, 0, 0, 1, 0, 0, 0], b=[1, 0, 1, 0, 0, 0, 0, 1])
    terms = [(1.0, "b", "x"), (-1.0, "a", "x")]
    assert clipped(some, terms, 0.25, of_items=True) == pytest.approx(some.table["b", "x"] - 0.25)
    assert clipped(some, terms, 0.125, of_items=True) == pytest.approx(weighted(some, terms))


def test_the_better_order_is_chosen_on_all_replicates_together() -> None:
    some = values(a=[0.9, 0.1, 0.9], b=[0.5, 0.5, 0.5])
    assert order_free_errors(some, [("a", "b")], "x") == pytest.approx([0.1, 0.9, 0.1])


def test_squares_are_free_of_noise() -> None:
    """A plain square of the mean is 0.04² + 0.1² / 10 on average."""
    random = np.random.default_rng(0)
    gaps = 0.04 + random.normal(0, 0.1, (10, 2000))
    names = [(f"{side}{pair}", "x") for side in "ab" for pair in range(2000)]
    table = pd.DataFrame(np.hstack([gaps, np.zeros_like(gaps)]))
    many = CellValues(table.set_axis(pd.MultiIndex.from_tuples(names), axis=1))
    pairs = [(f"a{pair}", f"b{pair}") for pair in range(2000)]
    assert squared_differences(many, pairs, "x").mean() == pytest.approx(0.0016, abs=0.0002)
    assert (gaps.mean(0) ** 2).mean() == pytest.approx(0.0026, abs=0.0002)


def test_squares_of_two_replicates_are_unknown() -> None:
    assert np.isnan(
        squared_differences(values(a=[0.1, 0.2], b=[0.0, 0.0]), [("a", "b")], "x")
    ).all()


def test_replicates_of_other_weights_differ_though_a_criterion_is_equal() -> None:
    runs = pd.DataFrame({"cell": ["a"] * 3, "replicate": range(3), "x": [0.1, 0.1, 0.2]})
    assert CellValues.from_runs(runs, ["x"]).common(["a"]).distinct("a") == 2
    hashed = CellValues.from_runs(runs.assign(weights=["p", "q", "r"]), ["x"])
    assert hashed.common(["a"]).distinct("a") == 3
    same = CellValues.from_runs(runs.assign(weights=["p", "p", "p"]), ["x"])
    assert same.common(["a"]).distinct("a") == 1
    partly = CellValues.from_runs(runs.assign(weights=pd.Series({0: "p", 2: "r"})), ["x"])
    assert partly.common(["a"]).distinct("a") == 2


def test_values_that_only_rounding_tells_apart_are_one() -> None:
    assert values(a=[0.1, 0.1 + 3e-11]).distinct("a") == 1
    assert values(a=[0.1, 0.1 + 3e-10]).distinct("a") == 2


def test_at_most_three_missing_cells_are_named() -> None:
    for names, words in (
        ("abc", "not run: a, b, c"),
        ("abcd", "not run: a, b, c and 1 more"),
        ("abbcde", "not run: a, b, c and 2 more"),
    ):
        assert str(LacksCells(names)) == words


def test_squares_of_three_replicates_are_the_pseudo_values_of_the_jackknife() -> None:
    """Gaps of .4, .2 and .3: their products two by two, of all less those without each."""
    gaps = values(a=[0.6, 0.4, 0.5], b=[0.2, 0.2, 0.2])
    whole = (0.4 * 0.2 + 0.4 * 0.3 + 0.2 * 0.3) / 3
    without = [0.2 * 0.3, 0.4 * 0.3, 0.4 * 0.2]
    expected = [3 * whole - 2 * product for product in without]
    assert squared_differences(gaps, [("a", "b")], "x") == pytest.approx(expected)
