"""What is compared when a method is called the best: cells and terms, by hand."""

import math
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
from scipy import stats

from analysis.inference.best import (
    BestMethod,
    Contest,
    _cells,
    best_method,
    compare_methods,
    measure_terms,
)
from analysis.inference.combinations import Combiner
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.inference.test_combinations import combiner as units_by_hand
from tests.analysis.synthetic import curve, frame
from tracking.measures import Error


def combiner(forward: float, backward: float) -> Combiner:
    """One that knows a single point's means."""
    return cast(Combiner, SimpleNamespace(means=lambda position: (forward, backward)))


@pytest.mark.parametrize(
    ("forward", "backward", "better", "error", "weights"),
    [
        (0.9, 0.6, "higher", "best", (-0.25, 0.0)),
        (0.6, 0.9, "higher", "best", (0.0, -0.25)),
        (0.9, 0.6, "higher", "worst", (0.0, -0.25)),
        (0.9, 0.6, "lower", "best", (0.0, 0.25)),
        (0.9, 0.6, "lower", "worst", (0.25, 0.0)),
        (0.6, 0.6, "higher", "best", (-0.25, 0.0)),  # of equal orders the forward one
    ],
)
def test_the_error_is_that_of_the_better_or_the_worse_order(
    forward: float, backward: float, better: str, error: Error, weights: tuple[float, float]
) -> None:
    """Of four points: an error is 1 - value where higher is better, so its weight is -1/4."""
    one_point = combiner(forward, backward)
    terms = measure_terms(one_point, 7, better, "order_free_error", error, 4)
    assert terms == [(7, *weights)]


@pytest.mark.parametrize(("forward", "backward", "sign"), [(0.9, 0.6, 1), (0.6, 0.9, -1)])
def test_the_sensitivity_is_the_difference_of_the_orders(
    forward: float, backward: float, sign: int
) -> None:
    one_point = combiner(forward, backward)
    terms = measure_terms(one_point, 7, "higher", "order_sensitivity", "best", 4)
    assert terms == [(7, sign / 4, -sign / 4)]


def points_of(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    """Points of an intervention, a partner, the partner's variant, and a level."""
    columns = ["intervention", "partner", "partner_variant", "level"]
    points = pd.DataFrame(list(rows), columns=columns)
    return points.assign(intervention_variant="", context="model=m")


def test_methods_share_the_cells_of_what_they_were_composed_with_and_the_level() -> None:
    points = points_of(
        ("lora", "wanda", "", 0.5),
        ("ft", "wanda", "", 0.25),
        ("ft", "wanda", "", 0.5),
        ("ft", "awq", "", 0.5),
        ("lora", "awq", "", 0.5),
        ("lora", "awq", "", 0.75),
    )
    assert _cells(points, "partner") == {"awq": [3, 4], "wanda": [2, 0]}
    assert _cells(points, "intervention") == {"ft": [3, 2], "lora": [4, 0]}


def test_methods_without_a_level_and_variants_of_one_method_have_cells_too() -> None:
    points = points_of(
        ("lora", "ga", "steps=2", math.nan),
        ("ft", "ga", "steps=2", math.nan),
        ("ft", "ga", "steps=9", math.nan),
        ("lora", "ga", "steps=9", math.nan),
        ("ft", "rmu", "", math.nan),
        ("lora", "rmu", "", math.nan),
    )
    assert _cells(points, "partner") == {
        "ga (steps=2)": [1, 0],
        "ga (steps=9)": [2, 3],
        "rmu": [4, 5],
    }


def test_units_that_one_method_lacks_are_left_out_by_terms_without_weight() -> None:
    contest = Contest({"wanda": [(3, 0.5, 0.0), (4, 0.0, 0.5)], "awq": [(5, 0.5, 0.0)]})
    assert contest.everywhere() == [(3, 0.0, 0.0), (4, 0.0, 0.0), (5, 0.0, 0.0)]


def test_points_may_be_indexed_by_anything_and_must_be_of_one_criterion() -> None:
    options: dict[str, Any] = {"mmlu": 0.5}
    runs = curve("ft", "wanda", [0.5], [0.9], [0.8], **options)
    table = frame([*runs, *curve("ft", "sparsegpt", [0.5], [0.7], [0.6], **options)])
    points = point(table, ["edit_success"]).rename_axis("level")
    best = best_method(table, points)
    assert best is not None and best.method == "wanda" and best.value == pytest.approx(0.1)
    with pytest.raises(InvalidInput, match="of one criterion, but are of edit_success, mmlu"):
        best_method(table, point(table, ["edit_success", "mmlu"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": "edit"}, "side must be intervention or partner, but got 'edit'"),
        ({"measure": "error"}, "measure must be order_free_error or order_sensitivity, but got"),
        ({"confidence": 1.0}, "confidence must be between 0 and 1, but got 1.0"),
    ],
)
def test_a_side_a_measure_or_a_confidence_that_there_is_not_is_refused(
    options: dict[str, Any], message: str
) -> None:
    table = frame(curve("ft", "wanda", [0.5], [0.9], [0.8]))
    with pytest.raises(InvalidInput, match=message):
        best_method(table, point(table), **options)


def test_points_without_a_column_are_refused() -> None:
    table = frame(curve("ft", "wanda", [0.5], [0.9], [0.8]))
    with pytest.raises(InvalidInput, match=r"^points must have a column 'level', but its columns"):
        best_method(table, point(table).drop(columns="level"))


def test_methods_of_each_contest_are_held_against_its_lowest() -> None:
    """MMLU in three units: 0.5, 0.75 and 1 in the forward order, 0.25, 0.75 and 0.5 in the other.

    The second contest has no unit in common.
    """
    contests = [
        Contest({"a": [(1, 1.0, 1.0)], "b": [(1, 1.0, 0.0)], "c": [(1, 0.0, 1.0)]}),
        Contest({"a": [(1, 1.0, 0.0)], "b": [(4, 1.0, 0.0)]}),
        Contest({"a": [(1, 0.5, 0.0)], "b": [(1, 1.0, 0.0)]}, constant=1.0),
    ]
    first, second, third = compare_methods(units_by_hand(), contests, 0.9)
    assert second is None and first is not None and third is not None
    assert (first.method, first.value, first.cells, first.units) == ("c", 0.5, 1, 3)
    assert (third.method, third.value, third.cells, third.units) == ("a", 1.375, 1, 3)
    margins = {"b": (0.75, 0.25, [0.25, 0, 0.5]), "a": (1.25, 0.75, [0.5, 0.75, 1])}
    check_rivals(first, margins)
    check_rivals(third, {"b": (1.75, 0.375, [0.25, 0.375, 0.5])})


def check_rivals(best: BestMethod, margins: dict[str, tuple[float, float, list[float]]]) -> None:
    """Compare rivals with their value, their margin, and a t test of their margins in all units."""
    rows = []
    for name, (value, margin, differences) in margins.items():
        test = stats.ttest_1samp(differences, 0)
        rows.append((name, value, margin, *test.confidence_interval(0.9), test.pvalue))
    columns = ["method", "value", "margin", "low", "high", "p"]
    pd.testing.assert_frame_equal(best.rivals, pd.DataFrame(rows, columns=columns))
    closest = best.rivals.p.max()
    assert (best.p, best.is_best, best.confidence) == (closest, closest <= 0.1, 0.9)
