import functools
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies
from scipy.integrate import quad

from analysis.metrics.composability import area, point
from tests.analysis.synthetic import curve, frame, run

MEASURES = ("order_free_error", "order_sensitivity")
shares = strategies.floats(0, 1, allow_subnormal=False)
pairs_of_shares = strategies.lists(strategies.tuples(shares, shares), min_size=2, max_size=6)


def areas(runs: list[dict[str, object]], **options: object) -> pd.DataFrame:
    return area(point(frame(runs)), **options)  # type: ignore[arg-type]


def test_a_triangle_by_hand() -> None:
    """From (0.25, 0) to (0.75, 1): area 0.25 over a range of 0.5."""
    runs = curve("ft", "wanda", [0.25, 0.75], [1.0, 1.0], [1.0, 0.0])
    (row,) = areas(runs).to_dict("records")
    assert row["order_sensitivity"] == 0.5
    assert (row["order_free_error"], row["range"], row["levels"]) == (0.0, 0.5, "0.25 0.75")
    assert areas(runs, raw=True).order_sensitivity[0] == 0.25


def test_areas_of_the_paper_agree_with_adaptive_quadrature_of_the_interpolated_curves(
    published: pd.DataFrame,
) -> None:
    """Reference: scipy's quad on each segment of numpy's interpolation."""
    points = point(published, ["edit_success", "wmdp", "mmlu"])
    rows = area(points)
    assert len(rows) == 24 * 3
    key = ["intervention", "partner", "criterion"]
    for row in rows.itertuples():
        is_of_curve = (points[key] == [getattr(row, name) for name in key]).all(axis=1)
        swept = points[is_of_curve].sort_values("level")
        levels = swept.level.to_numpy()
        for measure in MEASURES:
            height = functools.partial(np.interp, xp=levels, fp=swept[measure].to_numpy())
            whole = sum(quad(height, low, high)[0] for low, high in itertools.pairwise(levels))
            expected = whole / (levels[-1] - levels[0])
            assert getattr(row, measure) == pytest.approx(expected, abs=1e-12)


def test_sparsity_and_bits_are_comparable() -> None:
    """The same curve on either axis has the same area."""
    values = ([0.9, 0.7, 0.2], [0.8, 0.8, 0.1])
    on_sparsity, on_bits = (
        areas(curve("ft", "wanda", [0.25, 0.5, 0.75], *values)),
        areas(curve("ft", "awq", [2, 4, 6], *values)),
    )
    for measure in MEASURES:
        assert on_sparsity[measure][0] == pytest.approx(on_bits[measure][0])


def test_uneven_levels_weigh_by_their_distance() -> None:
    """Bits 2, 4, 8 with sensitivities 0, 1, 1: (2 x 0.5 + 4 x 1) / 6."""
    (row,) = areas(curve("ft", "awq", [2, 4, 8], [0, 1, 1], [0, 0, 0])).to_dict("records")
    assert row["order_sensitivity"] == pytest.approx(5 / 6)


def test_nothing_is_drawn_across_a_level_that_one_order_lacks() -> None:
    runs = curve("ft", "wanda", [0.1, 0.2, 0.4, 0.5], [0.5] * 4, [0.4, 0.4, 0.1, 0.1])
    runs.append(run("ft | wanda", level=0.3, edit_success=0.5))
    (row,) = areas(runs).to_dict("records")
    assert (row["levels"], row["left_out"]) == ("0.1 0.2 0.4 0.5", "0.3")
    assert row["range"] == pytest.approx(0.2)
    assert row["order_sensitivity"] == pytest.approx((0.1 * 0.1 + 0.1 * 0.4) / 0.2)


def test_one_level_has_no_area() -> None:
    assert areas(curve("ft", "wanda", [0.25], [0.9], [0.8])).empty


def test_perplexity_is_integrated_as_its_logarithm() -> None:
    """Halving the perplexity counts the same at 1000 as at 10."""
    runs = curve("ga", "awq", [2, 4], [1000.0, 10.0], [500.0, 40.0], criterion="wikitext_ppl")
    (row,) = areas(runs).to_dict("records")
    assert row["forward"] == pytest.approx(100)  # the square root of 1000 x 10
    assert row["order_free_error"] == pytest.approx(math.sqrt(500 * 10))
    assert row["order_sensitivity"] == pytest.approx((math.log(2) + math.log(4)) / 2)
    raw = areas(runs, raw=True).iloc[0]
    assert raw.order_sensitivity == pytest.approx(2 * row["order_sensitivity"])
    assert raw.forward == pytest.approx(2 * math.log(100))


def test_bits_and_other_values_without_a_bound_are_integrated_as_they_are() -> None:
    runs = curve("ft", "wanda", [0.25, 0.75], [4.0, 2.0], [4.0, 4.0], criterion="average_bits")
    assert areas(runs).forward[0] == pytest.approx(3)
    assert areas(runs).order_sensitivity[0] == pytest.approx(1)


def test_an_infinite_value_makes_an_infinite_area_and_two_an_undefined_one() -> None:
    runs = curve("ga", "awq", [2, 4], [math.inf, 8.0], [9.0, 8.0], criterion="wikitext_ppl")
    assert areas(runs).order_sensitivity[0] == math.inf
    assert areas(runs).order_free_error[0] == pytest.approx(math.sqrt(9 * 8))
    both = curve("ga", "awq", [2, 4], [math.inf, 8.0], [math.inf, 8.0], criterion="wikitext_ppl")
    assert math.isnan(areas(both).order_sensitivity[0])


def test_the_composed_error_stands_beside_that_of_either_method_alone() -> None:
    """The better orders lose 0.2 on average; FT alone loses 0.05, Wanda alone 0.5 and 0.7."""
    runs = curve("ft", "wanda", [0.25, 0.75], [0.9, 0.7], [0.8, 0.6])
    runs.append(run("ft", edit_success=0.95))
    runs += [run("wanda", level=0.25, edit_success=0.5), run("wanda", level=0.75, edit_success=0.3)]
    (row,) = areas(runs).to_dict("records")
    assert row["order_free_error"] == pytest.approx(0.2)
    assert row["error_over_intervention"] == pytest.approx(0.2 - 0.05)
    assert row["error_over_partner"] == pytest.approx(0.2 - 0.6)


def test_a_method_that_was_not_run_alone_at_every_level_is_not_compared() -> None:
    runs = curve("ft", "wanda", [0.25, 0.75], [0.9, 0.7], [0.8, 0.6])
    runs.append(run("wanda", level=0.25, edit_success=0.5))
    (row,) = areas(runs).to_dict("records")
    assert math.isnan(row["error_over_intervention"]) and math.isnan(row["error_over_partner"])


def test_the_relative_error_of_perplexity_is_a_log_ratio() -> None:
    runs = curve("ga", "awq", [2, 4], [20.0, 10.0], [40.0, 10.0], criterion="wikitext_ppl")
    runs.append(run("ga", wikitext_ppl=5.0))
    (row,) = areas(runs).to_dict("records")
    assert row["error_over_intervention"] == pytest.approx((math.log(4) + math.log(2)) / 2)


@settings(max_examples=30, deadline=None)
@given(pairs_of_shares, strategies.lists(strategies.integers(1, 20), min_size=6, max_size=6))
def test_areas_of_shares_lie_between_0_and_1_and_within_their_curves(
    pairs: list[tuple[float, float]], gaps: list[int]
) -> None:
    levels = np.cumsum(gaps)[: len(pairs)] / 100
    forward, backward = zip(*pairs, strict=True)
    (row,) = areas(curve("ft", "wanda", levels, forward, backward)).to_dict("records")
    for measure in MEASURES:
        assert -1e-12 <= row[measure] <= 1 + 1e-12
    assert row["order_sensitivity"] >= abs(row["forward"] - row["backward"]) - 1e-12


@settings(max_examples=20, deadline=None)
@given(strategies.lists(shares, min_size=2, max_size=6))
def test_identical_curves_have_no_sensitivity(values: list[float]) -> None:
    levels = [i / 10 for i in range(len(values))]
    assert areas(curve("ft", "wanda", levels, values, values)).order_sensitivity[0] == 0


def test_points_may_come_in_any_order() -> None:
    points = point(frame(curve("ft", "awq", [2, 4, 8], [0, 1, 1], [0, 0, 0])))
    assert area(points.iloc[[2, 0, 1]]).order_sensitivity[0] == pytest.approx(5 / 6)


def test_neighbouring_levels_that_are_left_out_have_no_area() -> None:
    levels = [0.1, 0.2, 0.3, 0.4]
    runs = curve("ft", "wanda", levels, [0.5] * 4, [0.4] * 4)
    for row, mmlu in zip(runs, [0.6] * 4 + [0.3] * 4, strict=True):
        row["mmlu"] = mmlu
    rows = areas(runs, bounds={"mmlu": 0.4}).set_index("criterion")
    assert rows.levels["edit_success"] == "0.1 0.2"
    assert rows.left_out["edit_success"] == "0.3 0.4"
    assert rows.range["edit_success"] == pytest.approx(0.1)
