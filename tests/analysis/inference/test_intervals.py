import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.inference.corrections import benjamini_hochberg, holm
from analysis.inference.intervals import intervals
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.inference.replicated import (
    BACKWARD,
    BATCHES,
    FORWARD,
    interval,
    replicated,
    scored,
)
from tests.analysis.synthetic import curve, frame, only

RNG = np.random.default_rng(8)


def few(forward: list[float], backward: list[float], **columns: Any) -> pd.DataFrame:
    return replicated(np.array(forward), np.array(backward), **columns)


def test_the_interval_of_the_gain_is_that_of_a_paired_t_test() -> None:
    """Reference: scipy.stats.ttest_rel."""
    row, reference = interval(replicated()), stats.ttest_rel(FORWARD, BACKWARD)
    low, high = reference.confidence_interval(0.95)
    assert row.gain == pytest.approx((FORWARD - BACKWARD).mean())
    assert (row.gain_low, row.gain_high) == pytest.approx((low, high))
    assert row.p == row.p_holm == row.q == pytest.approx(reference.pvalue)
    assert (row.units, row.basis, row.scope, row.differs) == (BATCHES, "edit batches", "", True)
    assert row.spread == pytest.approx((FORWARD - BACKWARD).std(ddof=1))
    assert row.se == pytest.approx(row.spread / math.sqrt(BATCHES))
    assert row.noise_floor == pytest.approx(row.se * math.sqrt(2 / math.pi))


def test_the_interval_of_the_error_is_that_of_the_better_order() -> None:
    row = interval(replicated())
    half = 2.0227 * FORWARD.std(ddof=1) / math.sqrt(BATCHES)
    assert row.order_free_error_low == pytest.approx(1 - FORWARD.mean() - half, abs=0.1 * half)
    assert row.order_free_error_high == pytest.approx(1 - FORWARD.mean() + half, abs=0.1 * half)


def test_the_error_lies_between_the_smaller_ends_of_both_orders() -> None:
    """The forward order is better on average; the backward one is less sure, and may be better."""
    forward = np.array([0.70, 0.71, 0.72, 0.70, 0.71])
    backward = np.array([0.50, 0.90, 0.60, 0.80, 0.70])
    both = interval(replicated(forward, backward))
    ends = [interval(replicated(side, np.linspace(0.01, 0.03, 5))) for side in (forward, backward)]
    assert both.order_free_error_low == pytest.approx(ends[1].order_free_error_low)
    assert both.order_free_error_high == pytest.approx(ends[0].order_free_error_high)
    worst = interval(replicated(forward, backward), error="worst")
    assert worst.order_free_error_low == pytest.approx(ends[0].order_free_error_low)
    assert worst.order_free_error_high == pytest.approx(ends[1].order_free_error_high)


def test_where_lower_is_better_the_gain_is_turned_round() -> None:
    row = interval(replicated(criterion="wmdp"))
    assert row.gain == pytest.approx(-(FORWARD - BACKWARD).mean())
    assert row.gain_low < row.gain < row.gain_high < 0
    assert row.order_free_error_low < BACKWARD.mean() < row.order_free_error_high


def test_without_a_better_direction_there_is_no_gain_and_no_claim() -> None:
    row = interval(replicated(criterion="sparsity"))
    assert math.isnan(row.gain) and math.isnan(row.gain_low) and math.isnan(row.p)
    assert not row.differs
    assert 0 < row.order_sensitivity_low < row.order_sensitivity_high
    assert math.isnan(row.order_free_error_low)


def test_the_sensitivity_is_the_gain_folded_at_zero() -> None:
    ahead, behind = interval(replicated()), interval(replicated(BACKWARD, FORWARD))
    assert behind.gain_high < 0
    for row in (ahead, behind):
        assert row.order_sensitivity_low == pytest.approx(ahead.gain_low)
        assert row.order_sensitivity_high == pytest.approx(ahead.gain_high)
    unclear = interval(few([0.5, 0.6, 0.4, 0.5], [0.55, 0.5, 0.5, 0.4]))
    assert unclear.gain_low < 0 < unclear.gain_high
    assert unclear.order_sensitivity_low == 0
    assert unclear.order_sensitivity_high == max(-unclear.gain_low, unclear.gain_high)


def test_units_that_tie_are_no_claim_however_large_the_difference() -> None:
    row = interval(few([0.9] * 6, [0.1] * 6))
    assert (row.gain, row.units, row.differs) == (pytest.approx(0.8), 6, False)
    assert math.isnan(row.p) and math.isnan(row.gain_low) and row.basis == ""


def test_two_units_have_an_interval_and_no_claim() -> None:
    row = interval(few([0.9, 0.901], [0.1, 0.1]))
    assert row.gain_low > 0.7 and math.isnan(row.p) and not row.differs


def test_one_run_per_order_has_no_interval() -> None:
    row = interval(frame(curve("ft", "wanda", [0.5], [0.9], [0.8])))
    assert (row.units, row.basis, row.differs) == (1, "", False)
    assert math.isnan(row.gain_low) and math.isnan(row.p) and math.isnan(row.df)
    assert row.gain == pytest.approx(0.1)


def test_one_run_per_order_with_items_is_this_batch_only() -> None:
    first, second = ((RNG.random((1, 80)) < share).astype(float) for share in (0.9, 0.1))
    row = interval(*scored(first, second))
    assert (row.basis, row.units, row.differs) == ("this batch only", 1, False)
    assert row.gain_low > 0.5 and math.isnan(row.p)
    of_no_edits = interval(*scored(first, second, "mmlu", first_step="ga"))
    assert (of_no_edits.basis, of_no_edits.differs) == ("items only", False)


def test_questions_are_crossed_with_batches_where_their_scores_are_given() -> None:
    """Six batches answer the same 30 questions in the same way: only other questions would tell."""
    fixed = np.tile((RNG.random(30) < 0.7).astype(float), (6, 1))
    forward, backward = fixed.copy(), np.roll(fixed, 1, axis=1)
    for unit in range(6):
        forward[unit, unit] = 1 - forward[unit, unit]
    runs, items = scored(forward, backward, "mmlu")
    with_items, without = interval(runs, items), interval(runs)
    assert (with_items.basis, with_items.scope) == ("edit batches and items", "")
    assert (without.basis, without.scope) == ("edit batches", "these items")
    assert with_items.se > 2 * without.se
    assert with_items.item_error > 0.9 * with_items.se
    assert without.item_error == 0


def test_edits_are_nested_in_batches_whether_their_scores_are_given_or_not() -> None:
    first, second = ((RNG.random((5, 60)) < 0.5).astype(float) for _ in range(2))
    runs, items = scored(first, second)
    with_items, without = interval(runs, items), interval(runs)
    assert with_items.p == without.p
    assert (with_items.basis, without.basis, without.scope) == ("edit batches", "edit batches", "")


def test_the_gain_is_the_mean_over_units_and_not_over_runs() -> None:
    """A batch with three seeds counts as much as one with a single seed."""
    runs = [
        run
        for batch, seed, gain in ((0, 0, 0.3), (0, 1, 0.3), (0, 2, 0.3), (1, 0, 0.1), (2, 0, 0.2))
        for run in curve("ft", "wanda", [0.5], [0.5 + gain], [0.5], edit_batch=batch, seed=seed)
    ]
    row = interval(frame(runs))
    assert row.gain == pytest.approx(0.2) and row.units == 3


def test_claims_are_corrected_over_all_points_that_have_a_test() -> None:
    runs = []
    for number, gain in enumerate((0.3, 0.05, 0.0)):
        for batch in range(5):
            side = 0.5 + gain + RNG.normal(0, 0.04)
            options = {"edit_batch": batch, "ft.lr": float(number + 1)}
            runs += curve("ft", "wanda", [0.5], [side], [0.5], **options)
    runs += curve("lora", "wanda", [0.5], [0.9], [0.1])
    table = frame(runs)
    rows = intervals(table, point(table))
    assert len(rows) == 4 and rows.p.notna().sum() == 3
    assert rows.p_holm.to_numpy() == pytest.approx(holm(rows.p_claim.to_numpy()), nan_ok=True)
    assert rows.q.to_numpy() == pytest.approx(benjamini_hochberg(rows.p.to_numpy()), nan_ok=True)
    assert rows.differs.tolist() == (rows.p_holm <= 0.05).tolist()
    assert rows.differs.sum() == 1


def test_a_claims_level_is_that_of_the_confidence() -> None:
    runs = few([0.60, 0.66, 0.62, 0.71], [0.55, 0.56, 0.58, 0.60])
    p = interval(runs).p_holm
    assert 0.001 < p < 0.05
    assert interval(runs, confidence=1 - 1.01 * p).differs
    assert not interval(runs, confidence=1 - 0.99 * p).differs


def test_an_infinite_run_has_no_interval() -> None:
    infinite = replicated(
        np.append(FORWARD[:6], np.inf), np.append(BACKWARD[:6], 9.0), criterion="wikitext_ppl"
    )
    row = interval(infinite)
    assert row.forward == math.inf and row.gain == -math.inf
    assert math.isnan(row.gain_low) and row.units == 0 and not row.differs


def test_a_level_that_one_order_lacks_has_no_gain() -> None:
    runs = replicated(FORWARD[:5], BACKWARD[:5])
    alone = frame(curve("ft", "wanda", [0.75], [0.9], [0.8]))
    table = pd.concat([runs, alone[alone.step1 == "ft"]])
    rows = intervals(table, point(table)).set_index("level")
    assert math.isnan(rows.gain[0.75]) and rows.units[0.75] == 0
    assert math.isnan(rows.order_sensitivity_high[0.75])


def test_equal_input_gives_equal_intervals() -> None:
    runs = replicated()
    pd.testing.assert_frame_equal(intervals(runs, point(runs)), intervals(runs, point(runs)))


def test_intervals_of_shares_stay_where_shares_can_be() -> None:
    row = interval(few([0.99, 0.2], [0.01, 0.4]))
    assert -1 <= row.gain_low < row.gain_high <= 1
    assert 0 <= row.order_free_error_low < row.order_free_error_high <= 1
    unbounded = interval(few([50.0, 2.0], [1.0, 4.0], criterion="wikitext_ppl"))
    assert unbounded.gain_low < -1


def test_a_confidence_is_between_0_and_1() -> None:
    with pytest.raises(InvalidInput, match="confidence must be between 0 and 1, but got 95"):
        interval(replicated(), confidence=95)


def test_the_columns_are_added_and_no_row_is_lost() -> None:
    runs = replicated()
    points = point(runs)
    assert set(points.columns) < set(intervals(runs, points).columns)
    assert only(intervals(runs, points)).point == 0
    assert intervals(runs, points.iloc[:0]).empty
