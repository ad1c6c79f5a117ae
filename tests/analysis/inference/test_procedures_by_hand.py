"""Intervals and tests of moments whose every number is chosen, at the bounds of each case."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.inference.procedures import Moments, estimate, item_moments, sums_of_items


def moments(**chosen: Any) -> Moments:
    """One difference: 0.7 over four units that differ, without items."""
    facts: dict[str, Any] = {
        "mean": 0.7,
        "scale": 1.0,
        "units": 4,
        "is_sample": True,
        "variance": 0.4,
        "crossed": False,
        "bounded": False,
        "items": 0,
        "total": 0.0,
        "squares": 0.0,
        "differing": 0.0,
        "item_variance": math.nan,
        "residual": math.nan,
    }
    single = chosen.pop("single", False)
    columns = {name: np.array([fact]) for name, fact in {**facts, **chosen}.items()}
    return Moments(**columns, single=single)


def numbers(**chosen: Any) -> dict[str, Any]:
    estimates = estimate(moments(**chosen), 0.95)
    return {name: column.item() for name, column in vars(estimates).items()}


def test_degrees_of_freedom_of_crossed_items_by_hand() -> None:
    """(0.4 - 0.2) / 4 of the units and 0.3 of the items are 0.35.

    Liberal: 0.35**2 / (0.05**2 / 3 + 0.3**2 / 4). Strict, with 0.4 / 4 in the place of 0.05 and
    the residual's (0.2 / 4)**2 / (3 * 4) added.
    """
    crossed = numbers(crossed=True, items=5, item_variance=0.3, residual=0.2)
    assert crossed["se"] == pytest.approx(math.sqrt(0.35))
    strict = 0.1225 / (0.01 / 3 + 0.0225 + 0.0025 / 12)
    assert crossed["df"] == pytest.approx(math.sqrt(5.25 * strict))
    statistic = 0.7 / math.sqrt(0.35)
    assert crossed["p_claim"] == pytest.approx(2 * stats.t.sf(statistic, strict))
    assert crossed["p"] == pytest.approx(2 * stats.t.sf(statistic, crossed["df"]))


def test_there_is_one_degree_of_freedom_at_least() -> None:
    """Liberal 2, strict 0.11."""
    few = numbers(crossed=True, units=3, items=3, variance=1.0, residual=1.0, item_variance=0.1)
    assert few["df"] == 1
    assert few["p_claim"] == pytest.approx(2 * stats.t.sf(0.7 / math.sqrt(0.1), 1))
    pair = numbers(crossed=True, units=2, items=2, variance=1.0, residual=0.0, item_variance=1e-6)
    assert pair["df"] == pytest.approx(1, abs=1e-3)
    assert pair["se"] == pytest.approx(math.sqrt(0.5 + 1e-6))
    assert numbers(units=2)["df"] == 1


def test_a_single_item_tells_nothing_and_two_do() -> None:
    over_units = numbers(crossed=True, units=3, items=1, item_variance=0.3, residual=0.2)
    assert (over_units["df"], over_units["se"]) == (2, pytest.approx(math.sqrt(0.4 / 3)))
    one_unit: dict[str, Any] = {"units": 1, "variance": math.nan, "bounded": True}
    assert math.isnan(numbers(**one_unit, items=1, total=1.0, squares=1.0)["se"])
    two = numbers(**one_unit, items=2, total=1.0, squares=1.0)
    # (1 + 1) / 4 less the square of 1 / 4, over four items
    assert (two["df"], two["se"]) == (1, pytest.approx(math.sqrt((0.5 - 0.0625) / 4)))
    unbounded = {**one_unit, "bounded": False, "items": 5}
    assert math.isnan(numbers(**unbounded, item_variance=0.0)["se"])
    assert numbers(**unbounded, item_variance=0.04)["se"] == pytest.approx(0.2)


def test_a_spread_is_more_than_a_billionth_of_the_values() -> None:
    smallest = (1e-9 * np.array([2.0])) ** 2
    assert not moments(scale=2.0, variance=smallest[0]).has_spread()[0]
    assert moments(scale=2.0, variance=4.1e-18).has_spread()[0]
    # of values that are 0
    assert not moments(scale=0.0, variance=0.9e-36).has_spread()[0]
    assert moments(scale=0.0, variance=1.1e-36).has_spread()[0]
    assert not moments(units=1, variance=5.0).has_spread()[0]
    assert moments(units=2, variance=5.0).has_spread()[0]


def test_six_items_worth_of_difference_are_not_few() -> None:
    bounded = {"bounded": True, "items": 20, "total": 6.0, "squares": 6.0, "variance": 1e-4}
    half = stats.t.ppf(0.975, 3) * math.sqrt(1e-4 / 4)
    enough = numbers(**bounded, differing=6.0)
    assert (enough["low"], enough["high"]) == pytest.approx((0.7 - half, 0.7 + half))
    few = numbers(**bounded, differing=5.9)
    centre = 6 / 22
    item_half = stats.t.ppf(0.975, 19) * math.sqrt((7 / 22 - centre**2) / 22)
    assert (few["low"], few["high"]) == pytest.approx((centre - item_half, 0.7 + half))


@pytest.mark.parametrize(
    ("items", "total", "share"),
    [(0, 0.0, 0.8), (1, 0.5, 2 / 3), (8, 2.0, 0.7)],  # less 1/2: 1 of 1 and 6 of 8 are right
)
def test_a_share_without_items_is_its_mean(items: int, total: float, share: float) -> None:
    of_order = numbers(
        single=True, bounded=True, mean=0.3, variance=0.01, items=items, total=total, differing=9.0
    )
    half = stats.t.ppf(0.975, 3) * 0.05 / (share * (1 - share))
    odds = math.log(share / (1 - share))
    ends = [1 / (1 + math.exp(-(odds + sign * half))) - 0.5 for sign in (-1, 1)]
    assert (of_order["low"], of_order["high"]) == pytest.approx(tuple(ends))


def test_item_moments_of_two_units_by_hand() -> None:
    """Means of items 0.5, 1 and 3, of units 1 and 2; residuals 0, -0.5, 0.5 and their opposites."""
    of_items, residual = item_moments(np.array([[0.0, 0, 3], [1, 2, 3]]))
    assert of_items == pytest.approx(1.75 / 3)
    assert residual == pytest.approx(1 / 2 / 3)


def test_item_moments_of_several_points_are_those_of_each() -> None:
    """The second point's items have means 2 and 0, its residuals are 0.5 and -0.5."""
    of_items, residual = item_moments(np.array([[[0.0, 2], [0, 2]], [[3, 0], [1, 0]]]))
    assert of_items.tolist() == [1, 1]
    assert residual.tolist() == [0, 0.5]


def test_sums_are_over_the_items() -> None:
    total, squares = sums_of_items(np.array([[1.0, 2, 3], [0, 1, -1]]))
    assert (total.tolist(), squares.tolist()) == ([6, 0], [14, 2])


def test_two_crossed_items_count() -> None:
    assert numbers(crossed=True, items=2, item_variance=0.3, residual=0.2)["se"] == pytest.approx(
        math.sqrt(0.35)
    )


def test_a_claim_has_at_most_twice_the_units_degrees_of_freedom() -> None:
    """Strictly there are 35 of them, as most of the error is of a thousand items."""
    crossed = numbers(crossed=True, items=1001, item_variance=0.3, residual=0.2)
    assert crossed["p_claim"] == pytest.approx(2 * stats.t.sf(0.7 / math.sqrt(0.35), 6))
