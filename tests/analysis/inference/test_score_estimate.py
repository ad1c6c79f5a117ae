import math

import numpy as np
import pytest
from scipy import stats

from analysis.inference.item_variance import PointGains
from analysis.inference.score_estimate import estimate_score, weighted_holm
from analysis.inference.units import ONE_BATCH

BATCHES = tuple(range(5))
FIRST = np.array([0.10, 0.20, 0.15, 0.30, 0.05])
SECOND = np.array([0.00, -0.10, 0.20, 0.10, 0.30])


def test_a_sum_over_shared_units_is_a_t_test_of_the_units_sums() -> None:
    """Reference: scipy's one-sample t test."""
    points = {0: PointGains(BATCHES, FIRST), 1: PointGains(BATCHES, SECOND)}
    score = estimate_score({0: 0.75, 1: 0.25}, points, 0.9)
    reference = stats.ttest_1samp(0.75 * FIRST + 0.25 * SECOND, 0)
    low, high = reference.confidence_interval(0.9)
    assert score.value == pytest.approx(np.mean(0.75 * FIRST + 0.25 * SECOND))
    assert (score.low, score.high) == pytest.approx((low, high))
    assert score.p == pytest.approx(reference.pvalue)
    assert score.units == 5


def test_points_without_common_units_have_independent_errors() -> None:
    """The variances of two means of 5 add up; 4 degrees of freedom, as for either."""
    others = tuple(range(5, 10))
    points = {0: PointGains(BATCHES, FIRST), 1: PointGains(others, SECOND)}
    score = estimate_score({0: 0.5, 1: 0.5}, points, 0.95)
    error = math.sqrt((FIRST.var(ddof=1) + SECOND.var(ddof=1)) / 4 / 5)
    half = stats.t.ppf(0.975, 4) * error
    assert score.high - score.value == pytest.approx(half)


def test_units_are_matched_by_name_whatever_their_order() -> None:
    turned = PointGains(BATCHES[::-1], SECOND[::-1])
    straight = {0: PointGains(BATCHES, FIRST), 1: PointGains(BATCHES, SECOND)}
    parts = {0: 0.5, 1: 0.5}
    expected = estimate_score(parts, straight, 0.95).p
    assert estimate_score(parts, {**straight, 1: turned}, 0.95).p == pytest.approx(expected)


@pytest.mark.parametrize("gains", [[0.1], [0.1, 0.1001], [0.1] * 5, [0.1 + 1e-15] + [0.1] * 4])
def test_one_or_two_units_or_equal_ones_have_no_test(gains: list[float]) -> None:
    units = tuple(range(len(gains)))
    assert math.isnan(estimate_score({0: 1.0}, {0: PointGains(units, np.array(gains))}, 0.95).p)


def test_seeds_of_a_single_batch_have_an_interval_and_no_test() -> None:
    seeds = PointGains(BATCHES, FIRST, kind=ONE_BATCH)
    score = estimate_score({0: 1.0}, {0: seeds}, 0.95)
    assert score.low < score.value < score.high and math.isnan(score.p)


def test_questions_that_all_units_share_widen_the_interval() -> None:
    """Their own differences do not average out over units."""
    rng = np.random.default_rng(2)
    lasting = rng.normal(0, 1, 40)
    items = tuple(lasting + rng.normal(0, 0.1, 40) for _ in range(5))
    gains = np.array([row.mean() for row in items])
    asked = PointGains(BATCHES, gains, items=items, sample="crossed", criterion="mmlu")
    alone = estimate_score({0: 1.0}, {0: PointGains(BATCHES, gains)}, 0.95)
    score = estimate_score({0: 1.0}, {0: asked}, 0.95)
    of_questions = np.mean(items, axis=0).std(ddof=1) / math.sqrt(40)
    half = stats.t.ppf(0.975, 4) * of_questions
    assert score.high - score.value == pytest.approx(half, rel=0.05)
    assert score.high - score.value > 3 * (alone.high - alone.value)
    assert score.with_items and not alone.with_items


def test_one_unit_is_judged_by_its_items_alone() -> None:
    """Reference: the standard error of the items' mean, with Agresti and Min's pseudo-counts."""
    items = np.array([1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 1.0, 0.0])
    batch = PointGains((0,), np.array([items.mean()]), items=(items,), sample="nested")
    score = estimate_score({0: 1.0}, {0: batch}, 0.95)
    variance = items.var(ddof=1) / 8 + (1 / 8) ** 2
    half = stats.t.ppf(0.975, 7) * math.sqrt(variance)
    assert (score.low, score.high) == pytest.approx((0.25 - half, 0.25 + half))
    assert score.items_only and math.isnan(score.p)


def test_units_that_tie_are_judged_by_their_items() -> None:
    """A saturated criterion is not measured exactly."""
    items = tuple(np.zeros(50) for _ in range(5))
    tied = PointGains(BATCHES, np.zeros(5), items=items, sample="nested")
    score = estimate_score({0: 1.0}, {0: tied}, 0.95)
    assert score.high == pytest.approx(stats.t.ppf(0.975, 49) / 50 / math.sqrt(5))
    assert score.items_only and score.units == 5


def test_a_sum_of_infinite_gains_has_no_interval() -> None:
    points = {0: PointGains((0, 1), np.array([math.inf, 0.0])), 1: PointGains((0, 1), FIRST[:2])}
    score = estimate_score({0: 0.5, 1: 0.5}, points, 0.95)
    assert score.value == math.inf and math.isnan(score.low)
    points[1] = PointGains((0, 1), np.array([-math.inf, 0.0]))
    assert math.isnan(estimate_score({0: 0.5, 1: 0.5}, points, 0.95).value)


def test_nothing_that_counts_is_no_score() -> None:
    assert math.isnan(estimate_score({}, {}, 0.95).value)


def test_the_backward_order_has_the_turned_interval() -> None:
    score = estimate_score({0: 1.0}, {0: PointGains(BATCHES, FIRST)}, 0.95)
    turned = score.turned(-1)
    assert (turned.value, turned.low, turned.high) == (-score.value, -score.high, -score.low)
    assert turned.p == score.p and score.turned(1) == score


def test_holm_with_equal_weights_is_holm() -> None:
    """Reference: Holm's procedure by hand; p values times 3, 2, 1, never falling."""
    assert weighted_holm([0.04, 0.01, 0.03], [1, 1, 1]) == pytest.approx([0.06, 0.03, 0.06])


def test_a_test_of_more_weight_is_corrected_less() -> None:
    """Weights 2, 1, 1: the first gets half of the level while all are undecided."""
    corrected = weighted_holm([0.02, 0.5, 0.015], [2, 1, 1])
    assert corrected == pytest.approx([0.04, 0.5, 0.04])
    assert weighted_holm([0.9, 0.8], [1, 1]) == pytest.approx([1, 1])


def test_a_test_that_could_not_be_made_keeps_its_share() -> None:
    corrected = weighted_holm([0.02, math.nan], [1, 1])
    assert corrected[0] == pytest.approx(0.04) and math.isnan(corrected[1])


def test_the_units_are_the_fewest_of_a_point() -> None:
    points = {0: PointGains(BATCHES, FIRST), 1: PointGains(BATCHES[:3], SECOND[:3])}
    assert estimate_score({0: 0.5, 1: 0.5}, points, 0.95).units == 3
    points[1] = PointGains(BATCHES[:3], np.array([math.inf, 0.0, 0.0]))
    assert estimate_score({0: 0.5, 1: 0.5}, points, 0.95).units == 3


def test_three_units_have_a_test_unless_a_point_has_one_batch_only() -> None:
    points = {0: PointGains(BATCHES[:3], FIRST[:3]), 1: PointGains(BATCHES[:3], SECOND[:3])}
    reference = stats.ttest_1samp(FIRST[:3] + SECOND[:3], 0)
    assert estimate_score({0: 1.0, 1: 1.0}, points, 0.95).p == pytest.approx(reference.pvalue)
    points[1] = PointGains(BATCHES[:3], SECOND[:3], kind=ONE_BATCH)
    assert math.isnan(estimate_score({0: 1.0, 1: 1.0}, points, 0.95).p)


def test_a_deviation_of_a_billionth_is_rounding() -> None:
    """The deviation of these gains is 1 exactly; of edits, half an item in 2 is 1/2."""
    gains = np.array([1.0, 1.0, -1.0, -1.0, 0.0])
    of_units = {0: PointGains(BATCHES, gains)}
    assert math.isnan(estimate_score({0: 1e-9}, of_units, 0.95).deviation)
    assert estimate_score({0: 2e-9}, of_units, 0.95).deviation == pytest.approx(2e-9)
    of_items = {0: PointGains((0,), np.zeros(1), items=(np.zeros(2),), sample="nested")}
    assert math.isnan(estimate_score({0: 2e-9}, of_items, 0.95).low)
    assert estimate_score({0: 3e-9}, of_items, 0.95).low < 0
