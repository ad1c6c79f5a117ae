"""Gains of single points, unit by unit and item by item, by hand."""

import math

import numpy as np
import pytest

from analysis.inference.point_gains import _item_worth, _sample, collect_gains
from analysis.inference.units import BATCHES, ONE_BATCH, collect_units
from analysis.metrics.composability import point
from tests.analysis.inference.replicated import scored
from tests.analysis.synthetic import curve, frame
from tracking.catalogue import CriterionFacts

SCORES = np.array([0.0, 1.0, 0.5])


@pytest.mark.parametrize(
    ("better", "chance", "value", "sign"),
    [
        ("higher", 0.25, 0.2, 1),
        ("higher", None, 0.2, 1),
        ("lower", None, 0.2, -1),
        ("lower", 0.25, 0.3, -1),
        ("lower", 0.25, 0.25, -1),
        ("lower", 0.25, 0.2, 0),  # below chance nothing is gained
    ],
)
def test_an_item_of_a_share_is_worth_its_score(
    better: str, chance: float | None, value: float, sign: int
) -> None:
    facts = CriterionFacts(better, "accuracy", chance=chance)
    assert _item_worth(SCORES, value, facts).tolist() == (sign * SCORES).tolist()


def test_an_item_of_perplexity_is_worth_halvings() -> None:
    """log2 of 4 (1 + d / 4) is 2 + d / (4 log 2)."""
    worth = _item_worth(SCORES, 4.0, CriterionFacts("lower", "perplexity"))
    assert worth.tolist() == pytest.approx((-SCORES / (4 * math.log(2))).tolist())


def test_the_mean_of_a_batchs_seeds_is_its_gain_and_items_are_those_of_its_edits() -> None:
    """Two seeds of the first batch: (.25 + .75) / 2; one of the second."""
    runs = [
        *curve("ft", "wanda", [0.5], [0.75], [0.5], edit_batch=0, seed=0, mmlu=0.5),
        *curve("ft", "wanda", [0.5], [0.875], [0.125], edit_batch=0, seed=1, mmlu=0.25),
        *curve("ft", "wanda", [0.5], [0.5], [0.375], edit_batch=1, seed=0, mmlu=0.125),
    ]
    for row in runs:
        row["average_bits"] = 4.0
    table = frame(runs)
    points = point(table)
    gains = {gain.criterion: gain for gain in collect_gains(table, points, None).values()}
    assert gains["edit_success"].gains.tolist() == [0.5, 0.125]
    facts = {
        name: (gain.kind, gain.sample, gain.bounded, gain.of_edits) for name, gain in gains.items()
    }
    assert facts == {
        "edit_success": (BATCHES, "nested", True, True),
        "mmlu": (BATCHES, "crossed", True, False),
        "average_bits": (BATCHES, "exact", False, False),
    }


def test_the_gain_of_an_item_is_the_first_order_less_the_second() -> None:
    first, second = np.array([[1.0, 0.0, 1.0]]), np.array([[0.0, 0.0, 1.0]])
    runs, items = scored(first, second)
    points = point(runs)
    (gains,) = collect_gains(runs, points, items).values()
    assert gains.items is not None and [row.tolist() for row in gains.items] == [[1.0, 0.0, 0.0]]
    # seeds of a single batch have its edits in common
    units = collect_units(runs, points)
    assert gains.kind == ONE_BATCH and gains.sample == "crossed"
    assert _sample(CriterionFacts("higher", "share", items="exact"), units, 0) == "exact"
