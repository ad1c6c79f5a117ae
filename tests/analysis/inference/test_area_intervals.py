import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.inference.area_intervals import _mean_end, _with_logarithms, area_intervals
from analysis.inference.intervals import intervals
from analysis.inference.item_scores import items_of_points
from analysis.inference.units import collect_units
from analysis.metrics.composability import area, point
from interventions.errors import InvalidInput
from tests.analysis.inference.replicated import scored
from tests.analysis.synthetic import curve, frame, only

RNG = np.random.default_rng(13)
LEVELS = np.array([0.2, 0.3, 0.5])
WEIGHTS = np.array([0.05, 0.15, 0.1]) / 0.3  # trapezoidal rule over the range of .3
FORWARD = 0.6 + RNG.normal(0, 0.05, (5, 3))  # a row per edit batch
BACKWARD = 0.5 + RNG.normal(0, 0.05, (5, 3))


def swept(
    forward: np.ndarray = FORWARD, backward: np.ndarray = BACKWARD, criterion: str = "edit_success"
) -> pd.DataFrame:
    return frame(
        run
        for batch in range(len(forward))
        for run in curve(
            "ft",
            "wanda",
            LEVELS,
            forward[batch],
            backward[batch],
            criterion=criterion,
            edit_batch=batch,
        )
    )


def test_the_signed_area_is_a_t_test_of_the_batches_areas() -> None:
    runs = swept()
    row = only(area_intervals(runs, point(runs)))
    areas = (FORWARD - BACKWARD) @ WEIGHTS
    reference = stats.ttest_1samp(areas, 0)
    low, high = reference.confidence_interval(0.95)
    assert row.signed == pytest.approx(areas.mean())
    assert (row.signed_low, row.signed_high) == pytest.approx((low, high))
    assert row.p == row.p_holm == pytest.approx(reference.pvalue)
    assert (row.units, row.basis, row.differs) == (5, "edit batches", bool(row.p <= 0.05))


def test_where_lower_is_better_the_signed_area_is_turned_round() -> None:
    runs = swept(criterion="wmdp")
    row = only(area_intervals(runs, point(runs)))
    assert row.signed == pytest.approx(((BACKWARD - FORWARD) @ WEIGHTS).mean())
    assert row.scope == "these items"


def test_the_area_of_sensitivity_is_between_the_folded_signed_one_and_the_levels_ends() -> None:
    runs = swept()
    points = point(runs)
    row = only(area_intervals(runs, points))
    ends = intervals(runs, points).order_sensitivity_high.to_numpy()
    assert row.order_sensitivity_high == pytest.approx(ends @ WEIGHTS)
    assert row.order_sensitivity_low == pytest.approx(max(row.signed_low, 0))
    assert row.order_sensitivity_low <= only(area(points)).order_sensitivity
    assert only(area(points)).order_sensitivity <= row.order_sensitivity_high
    crossing = swept(FORWARD - 0.1)
    assert only(area_intervals(crossing, point(crossing))).order_sensitivity_low == 0


def test_the_ends_of_the_error_are_the_means_of_the_levels_ends() -> None:
    runs = swept()
    points = point(runs)
    row, levels = only(area_intervals(runs, points)), intervals(runs, points)
    for end in ("low", "high"):
        expected = levels[f"order_free_error_{end}"].to_numpy() @ WEIGHTS
        assert row[f"order_free_error_{end}"] == pytest.approx(expected)


def test_the_areas_of_perplexity_are_of_log_ratios() -> None:
    runs = swept(10 * FORWARD, 20 * BACKWARD, "wikitext_ppl")
    row = only(area_intervals(runs, point(runs)))
    areas = np.log(20 * BACKWARD / (10 * FORWARD)) @ WEIGHTS
    assert row.signed == pytest.approx(areas.mean())
    assert row.se == pytest.approx(areas.std(ddof=1) / math.sqrt(5))
    ends = intervals(runs, point(runs)).order_free_error_high.to_numpy()
    assert row.order_free_error_high == pytest.approx(np.exp(np.log(ends) @ WEIGHTS))


def test_only_batches_that_have_every_level_count() -> None:
    runs = swept()
    is_gone = (runs["wanda.sparsity"] == 0.3) & (runs.edit_batch == 4)
    row = only(area_intervals(runs[~is_gone], point(runs[~is_gone])))
    assert row.units == 4
    assert row.signed == pytest.approx(((FORWARD - BACKWARD)[:4] @ WEIGHTS).mean())


def test_nothing_is_drawn_across_a_level_that_one_order_lacks_or_that_is_out_of_bounds() -> None:
    levels = np.array([0.2, 0.3, 0.5, 0.6])
    runs = []
    for batch in range(4):
        sides = RNG.random((2, 4))
        options: dict[str, Any] = {"edit_batch": batch, "mmlu": 0.5}
        runs += curve("ft", "wanda", levels, *sides, **options)
    table = frame(runs)
    criteria = ["edit_success", "mmlu"]
    lacking = table[~((table["wanda.sparsity"] == 0.3) & (table.step1 == "ft"))]
    points = point(lacking, criteria)
    row = area_intervals(lacking, points).set_index("criterion").loc["edit_success"]
    last = points[(points.criterion == "edit_success") & (points.level >= 0.5)]
    assert row.signed == pytest.approx((last.forward - last.backward).mean())
    table.loc[table["wanda.sparsity"] == 0.3, "mmlu"] = 0.1
    bounded = area_intervals(table, point(table, criteria), bounds={"mmlu": 0.4})
    of_edits = bounded.set_index("criterion").loc["edit_success"]
    both = point(table, ["edit_success"])
    last = both[both.level >= 0.5]
    assert of_edits.signed == pytest.approx((last.forward - last.backward).mean())


def test_one_level_has_no_area() -> None:
    runs = swept()
    runs = runs[runs["wanda.sparsity"] == 0.2]
    assert area_intervals(runs, point(runs)).empty


def test_points_without_a_column_and_a_confidence_that_is_no_share_are_refused() -> None:
    runs = swept()
    points = point(runs)
    with pytest.raises(InvalidInput, match=r"^points must have a column 'strength', but its"):
        area_intervals(runs, points.drop(columns="strength"))
    with pytest.raises(InvalidInput, match=r"^confidence must be between 0 and 1, but got 0\.0$"):
        area_intervals(runs, points, confidence=0.0)


def test_one_batch_is_no_claim() -> None:
    runs = swept(FORWARD[:1], BACKWARD[:1])
    row = only(area_intervals(runs, point(runs)))
    assert math.isnan(row.p) and math.isnan(row.signed_low) and not row.differs
    assert (row.units, row.basis) == (1, "")
    assert row.signed == pytest.approx((FORWARD - BACKWARD)[0] @ WEIGHTS)


def test_questions_that_all_levels_share_count_once() -> None:
    """The same answers at two levels: the items' share of the error does not average out."""
    answers = (RNG.random((2, 40)) < 0.6).astype(float)
    tables = []
    for level in (0.25, 0.5):
        first, second = (np.tile(side, (4, 1)) for side in answers)
        runs, items = scored(first, second, "mmlu")
        runs["wanda.sparsity"] = level
        runs["mmlu"] += 1e-9 * runs.edit_batch * np.where(runs.step1 == "ft", 1, -1)
        tables.append((runs, items))
    both, items = (pd.concat(each, ignore_index=True) for each in zip(*tables, strict=True))
    row = only(area_intervals(both, point(both), items))
    of_items = (answers[0] - answers[1]).std(ddof=1) / math.sqrt(40)
    assert row.se == pytest.approx(of_items, rel=1e-3)
    assert (row.basis, row.scope) == ("edit batches and items", "")


@pytest.mark.parametrize(
    ("ends", "is_log", "mean"),
    [([0.25, 4.0], True, 1.0), ([0.25, 4.0], False, 2.125), ([-1.0, 4.0], True, 0.0)],
)
def test_the_mean_of_ends_of_ratios_is_geometric_and_never_below_zero(
    ends: list[float], is_log: bool, mean: float
) -> None:
    shares = np.array([0.5, 0.5])
    assert _mean_end(shares, np.array(ends), is_log) == pytest.approx(mean)


def test_curves_come_in_the_order_of_the_areas_whatever_the_points_are_indexed_by() -> None:
    runs = [*curve("lora", "wanda", LEVELS, FORWARD[0], BACKWARD[0])]
    runs += curve("ft", "wanda", LEVELS, FORWARD[1], BACKWARD[1])
    table = frame(runs)
    points = point(table)
    rows = area_intervals(table, points)
    assert rows.intervention.tolist() == area(points).intervention.tolist() == ["ft", "lora"]
    assert rows.signed.to_numpy() == pytest.approx((FORWARD - BACKWARD)[[1, 0]] @ WEIGHTS)
    named = points.set_axis(range(7, 7 + len(points))).rename_axis("level")
    pd.testing.assert_frame_equal(area_intervals(table, named), rows)


def test_items_of_logarithms_have_the_relative_deviations_of_the_values() -> None:
    """Delta method: log(x) is log(mean) + (x - mean) / mean near the mean."""
    runs, items = scored(np.array([[2.0, 4.0, 6.0]]), np.array([[1.0, 2.0, 3.0]]), "wikitext_ppl")
    points = point(runs)
    units = collect_units(runs, points)
    logarithms, (scores,) = _with_logarithms(units, points, items_of_points(units, points, items))
    relative = np.array([-0.5, 0, 0.5])
    assert scores.forward[0] == pytest.approx(math.log(4) + relative)
    assert scores.backward[0] == pytest.approx(math.log(2) + relative)
    assert logarithms.forward[0, 0] == pytest.approx(math.log(4))
    assert logarithms.backward[0, 0] == pytest.approx(math.log(2))
