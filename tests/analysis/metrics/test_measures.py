import math

import pandas as pd
import pytest

from analysis.metrics.composability import point
from analysis.metrics.measures import complete
from tests.analysis.synthetic import curve, frame, only


def test_the_better_order_counts_where_higher_is_better() -> None:
    row = only(point(frame(curve("ft", "wanda", [0.5], [0.9], [0.6]))))
    assert row.order_free_error == pytest.approx(0.1)
    assert row.order_sensitivity == pytest.approx(0.3)


def test_the_lower_order_counts_where_lower_is_better() -> None:
    runs = frame(curve("rmu", "wanda", [0.5], [0.3], [0.5], criterion="wmdp"))
    row = only(point(runs))
    assert row.order_free_error == 0.3
    assert row.order_free_error_adjusted == pytest.approx((0.3 - 0.25) / 0.75)
    assert only(point(runs, error="worst")).order_free_error == 0.5


def test_a_criterion_below_chance_has_an_adjusted_error_of_zero() -> None:
    row = only(point(frame(curve("ga", "wanda", [0.5], [0.2], [0.24], criterion="wmdp"))))
    assert (row.order_free_error, row.order_free_error_adjusted) == (0.2, 0.0)


def test_a_criterion_without_a_good_direction_has_a_sensitivity_but_no_error() -> None:
    row = only(point(frame(curve("ft", "wanda", [0.5], [0.4], [0.5], criterion="sparsity"))))
    assert math.isnan(row.order_free_error)
    assert row.order_sensitivity == pytest.approx(0.1)


def test_an_infinite_perplexity_leaves_the_finite_order_and_two_have_no_difference() -> None:
    runs = curve(
        "ga", "awq", [2, 4], [math.inf, math.inf], [8.0, math.inf], criterion="wikitext_ppl"
    )
    points = point(frame(runs)).set_index("level")
    assert (points.order_free_error[2], points.order_sensitivity[2]) == (8.0, math.inf)
    assert points.order_free_error[4] == math.inf
    assert math.isnan(points.order_sensitivity[4])


def test_only_criteria_where_guessing_is_good_have_an_adjusted_error() -> None:
    runs = curve("ga", "wanda", [0.5], [0.6], [0.5], criterion="mmlu")
    assert math.isnan(only(point(frame(runs))).order_free_error_adjusted)


def test_values_of_both_orders_are_complete_where_a_replicate_is_common() -> None:
    values = {"forward": [0.5, 0.5, math.nan], "backward": [0.5, 0.5, 0.5], "replicates": [1, 0, 1]}
    assert complete(pd.DataFrame(values)).tolist() == [True, False, False]
