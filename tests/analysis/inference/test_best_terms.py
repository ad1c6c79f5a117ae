"""What is compared when a method is called the best: cells and terms, by hand."""

import math
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from analysis.inference.best import Contest, _cells, best_method, measure_terms
from analysis.inference.combinations import Combiner
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
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
    ],
)
def test_a_side_or_measure_that_there_is_not_is_refused(
    options: dict[str, Any], message: str
) -> None:
    table = frame(curve("ft", "wanda", [0.5], [0.9], [0.8]))
    with pytest.raises(InvalidInput, match=message):
        best_method(table, point(table), **options)
