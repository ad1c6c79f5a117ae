"""Weighted sums of the values of six units at three points, by hand."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference.combinations import Combiner
from analysis.inference.item_scores import PointItems
from analysis.inference.units import BATCHES, ONE_BATCH, SEEDS, Units
from tracking.catalogue import CriterionFacts

NAN = np.nan
# positions 0 to 2 are of the first point, 3 to 5 of the second, 6 to 8 of the third
EDITS, MMLU, BITS = (0, 3, 6), (1, 4, 7), (2, 5, 8)


def units() -> Units:
    """Three batches of the first point, two seeds of the second, one batch of the third."""
    facts = {
        "edit_success": CriterionFacts("higher", "share", items="nested"),
        "mmlu": CriterionFacts("higher", "accuracy"),
        "average_bits": CriterionFacts("lower", "bits", items="exact"),
    }
    orders: Any = SimpleNamespace(catalogue=SimpleNamespace(criteria=facts))
    is_infinite = np.zeros((3, 3), dtype=bool)
    is_infinite[1, 2] = True
    values = [  # point, name; edit success, MMLU and bits of the forward and the backward order
        (1, 5, 0.5, 0.5, 8, 0.5, 0.5, 8),
        (0, 8, 0.5, 0.75, 8, 0.25, 0.75, 4),
        (0, 7, 1, 0.5, 8, 0.5, 0.25, 4),
        (1, 4, 0.5, 0.5, 8, 0.5, 0.5, 8),
        (2, 7, 0.5, 0.5, 8, 0.5, 0.75, 4),
        (0, 9, NAN, 1, 8, NAN, 0.5, 4),
    ]
    table = np.array(values)
    return Units(
        orders=orders,
        unit=np.arange(6),
        point=table[:, 0].astype(int),
        names=table[:, 1].astype(int),
        kinds=np.array([BATCHES, SEEDS, ONE_BATCH]),
        criteria=list(facts),
        forward=table[:, 2:5],
        backward=table[:, 5:],
        is_infinite=is_infinite,
    )


def items(position: int, codes: tuple[int, ...] = (3, 4), crossed: bool = True) -> PointItems:
    """Two answers to the questions of MMLU in each unit, by the units' numbers."""
    scores = {
        1: ([[1, 0.5], [1, 0], [1, 1]], [[1, 0.5], [0.5, 0], [1, 0]]),
        4: ([[1, 0], [0, 1]], [[1, 0], [0, 1]]),
        7: ([[1, 0]], [[1, 0.5]]),
    }
    forward, backward = ([*np.array(side)] for side in scores[position])
    return PointItems(position, crossed, forward, backward, np.array(codes))


def combiner(*point_items: PointItems) -> Combiner:
    points = pd.DataFrame(
        [(point, criterion) for point in range(3) for criterion in units().criteria],
        columns=["point", "criterion"],
    )
    return Combiner(units(), points, point_items)


@pytest.mark.parametrize(
    ("position", "numbers"), [(0, [2, 1]), (1, [2, 1, 5]), (4, [3, 0]), (5, []), (7, [4])]
)
def test_units_of_a_point_are_sorted_by_name_and_an_infinite_value_leaves_none(
    position: int, numbers: list[int]
) -> None:
    assert combiner().units_of(position).tolist() == numbers


def test_means_are_over_the_units_that_have_the_criterion() -> None:
    assert combiner().means(0) == (0.75, 0.375)


@pytest.mark.parametrize(
    ("positions", "crossed"),
    [(EDITS, [False, True, True]), (MMLU, [True] * 3), (BITS, [False] * 3)],
)
def test_units_share_items_unless_these_are_edits_of_several_batches_or_there_are_none(
    positions: tuple[int, ...], crossed: list[bool]
) -> None:
    moments = combiner().moments([[(position, 1, -1)] for position in positions])
    assert moments.crossed.tolist() == crossed
    assert moments.is_sample.tolist() == [True, True, False]


def test_moments_of_one_point_of_two_points_and_of_an_infinite_value() -> None:
    """The gain of MMLU is 0.25, 0 and 0.5; two points have only the unit named 7 in common.

    There the sum is 2 · 0.5 - 0.25 + 4 · 0.75. By items the gains are (0, 0), (0.5, 0) and (0, 1),
    and the sum is (1.5 + 4, 0 + 2).
    """
    sums = [[(1, 1.0, -1.0)], [(1, 2.0, -1.0), (7, 0.0, 4.0)], [(5, 1.0, -1.0)]]
    moments = combiner(items(1), items(7)).moments(sums)
    expected = {
        "mean": [0.25, 3.75, NAN],
        "scale": [1.25, 4.25, NAN],
        "units": [3, 1, 0],
        "is_sample": [True, False, True],
        "variance": [0.0625, NAN, NAN],
        "crossed": [True, True, False],
        "bounded": [False] * 3,
        "items": [2, 2, 0],
        "total": [0] * 3,
        "squares": [0] * 3,
        "differing": [0] * 3,
        "single": False,
        "item_variance": [1 / 144, 3.0625, NAN],
        "residual": [7 / 48, NAN, NAN],
    }
    assert [field.name for field in dataclasses.fields(moments)] == list(expected)
    for name, numbers in expected.items():
        assert getattr(moments, name) == pytest.approx(numbers, nan_ok=True), name


@pytest.mark.parametrize(
    ("second", "point_items"),
    [
        (7, [items(1)]),
        (7, [items(7)]),
        (7, [items(1), items(7, codes=(3, 5))]),
        (7, [items(1), items(7, crossed=False)]),
        (4, [items(1), items(4)]),  # no unit in common
    ],
)
def test_items_do_not_count_unless_all_points_have_the_same_crossed_ones_in_a_common_unit(
    second: int, point_items: list[PointItems]
) -> None:
    moments = combiner(*point_items).moments([[(1, 1, -1), (second, 1, -1)]])
    assert moments.items.tolist() == [0]
    assert np.isnan([*moments.item_variance, *moments.residual]).all()
