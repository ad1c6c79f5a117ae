"""Each procedure against numbers that were computed another way."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.inference.moments import moments_of_scores, of_one_order
from analysis.inference.procedures import Estimates, estimate, item_moments

RNG = np.random.default_rng(2)


def estimated(scores: np.ndarray, crossed: bool, bounded: bool = True) -> Estimates:
    return estimate(moments_of_scores(scores[None], crossed, bounded), 0.95)


def answers(units: int, items: int, share: float = 0.5) -> np.ndarray:
    """Differences of right and wrong answers."""
    sides = RNG.random((2, units, items)) < share
    return sides[0].astype(float) - sides[1]


def test_over_units_with_items_of_their_own_it_is_students_t() -> None:
    """Reference: scipy.stats.ttest_1samp of the units' means."""
    scores = answers(6, 40)
    reference = stats.ttest_1samp(scores.mean(1), 0)
    interval = reference.confidence_interval(0.95)
    result = estimated(scores, crossed=False)
    assert result.p[0] == pytest.approx(reference.pvalue)
    assert result.p_claim[0] == result.p[0]
    assert (result.low[0], result.high[0]) == pytest.approx((interval.low, interval.high))
    assert (result.df[0], result.over_units[0]) == (5, True)


def test_items_that_all_units_have_are_a_two_way_analysis_of_variance() -> None:
    """Reference: mean squares of items A, units B and residual R, by their definitions.

    The variance of the mean is (A + B - R) / (units x items).
    """
    units, items = 5, 30
    scores = RNG.normal(0, 1, (1, items)) + RNG.normal(0, 1, (units, 1)) + answers(units, items)
    mean = scores.mean()
    of_items = units * ((scores.mean(0) - mean) ** 2).sum() / (items - 1)
    of_units = items * ((scores.mean(1) - mean) ** 2).sum() / (units - 1)
    rest = scores - scores.mean(0) - scores.mean(1, keepdims=True) + mean
    residual = (rest**2).sum() / ((units - 1) * (items - 1))
    result = estimated(scores, crossed=True, bounded=False)
    assert of_units > residual
    variance = (of_items + of_units - residual) / (units * items)
    assert result.se[0] == pytest.approx(math.sqrt(variance))
    assert units - 1 < result.df[0] < items - 1


def test_units_that_vary_less_than_their_residual_add_nothing() -> None:
    """The items' share, which contains the residual's, is left."""
    scores = answers(4, 50)
    scores -= scores.mean(1, keepdims=True) - np.array([[0.001], [0.0], [0.0], [-0.001]])
    of_items = scores.mean(0).var(ddof=1) / 50
    result = estimated(scores, crossed=True, bounded=False)
    assert result.se[0] == pytest.approx(math.sqrt(of_items))


def test_a_claim_over_crossed_items_has_at_most_twice_the_units_degrees_of_freedom() -> None:
    scores = np.tile(answers(1, 60), (5, 1)) + RNG.normal(0.3, 0.02, (5, 60))
    result = estimated(scores, crossed=True, bounded=False)
    assert result.df[0] > 8
    statistic = abs(scores.mean()) / result.se[0]
    assert result.p_claim[0] == pytest.approx(2 * stats.t.sf(statistic, 8))
    assert result.p[0] < result.p_claim[0]


def test_item_moments_are_the_variances_by_their_definitions() -> None:
    scores = RNG.normal(size=(3, 4, 7))
    of_items, residual = item_moments(scores)
    assert of_items == pytest.approx(scores.mean(1).var(1, ddof=1) / 7)
    rest = scores[0] - scores[0].mean(0) - scores[0].mean(1, keepdims=True) + scores[0].mean()
    assert residual[0] == pytest.approx((rest**2).sum() / (3 * 6) / 7)
    assert np.isnan(item_moments(scores[:, :1])[1]).all()


def test_one_unit_has_the_interval_of_agresti_and_min_and_no_test() -> None:
    """100 pairs, 30 better and 10 worse: (30 - 10) / 102 and its Wald error with 102 pairs."""
    scores = np.array([[1.0] * 30 + [-1.0] * 10 + [0.0] * 60])
    result = estimated(scores, crossed=False)
    centre = 20 / 102
    error = math.sqrt(((30.5 + 10.5) / 102 - centre**2) / 102)
    half = stats.t.ppf(0.975, 99) * error
    assert (result.low[0], result.high[0]) == pytest.approx((centre - half, centre + half))
    assert math.isnan(result.p[0]) and math.isnan(result.p_claim[0]) and not result.over_units[0]


@pytest.mark.parametrize(("crossed", "count"), [(False, 200), (True, 50)])
def test_units_that_tie_have_the_items_interval_and_no_test(crossed: bool, count: int) -> None:
    """Four units without any difference: half an item of either kind more, of all or of one."""
    result = estimated(np.zeros((4, 50)), crossed)
    half = stats.t.ppf(0.975, count - 1) * math.sqrt(1 / (count + 2) / (count + 2))
    assert (result.low[0], result.high[0]) == pytest.approx((-half, half))
    assert math.isnan(result.p[0])


def test_units_that_tie_but_for_rounding_have_no_test() -> None:
    """0.1 + 0.2 is not 0.3: such a spread would give p = 0."""
    scores = np.full((3, 10), 0.3)
    scores[0] = 0.1 + 0.2
    assert scores.mean(1).var() > 0
    assert math.isnan(estimated(scores, crossed=False).p[0])


def test_two_units_have_an_interval_and_no_test() -> None:
    result = estimated(answers(2, 40), crossed=False)
    assert math.isnan(result.p[0]) and np.isfinite(result.low[0])
    assert not math.isnan(estimated(answers(3, 40), crossed=False).p[0])


def test_where_few_items_differ_the_wider_interval_counts() -> None:
    """Of 500 items one differs: the items' interval is wider than t over ten units."""
    scores = np.zeros((10, 50))
    scores[0, 0] = 1
    sparse = estimated(scores, crossed=False)
    centre, squares = 1 / 502, 2 / 502
    item_half = stats.t.ppf(0.975, 499) * math.sqrt((squares - centre**2) / 502)
    t_half = stats.t.ppf(0.975, 9) * scores.mean(1).std(ddof=1) / math.sqrt(10)
    mean = scores.mean()
    assert centre - item_half < mean - t_half
    assert (sparse.low[0], sparse.high[0]) == pytest.approx(
        (centre - item_half, centre + item_half)
    )
    unbounded = estimated(scores, crossed=False, bounded=False)
    assert unbounded.low[0] == pytest.approx(mean - t_half)


def test_an_unbounded_criterion_with_one_unit_has_the_items_standard_error() -> None:
    scores = RNG.normal(3, 1, (1, 80))
    result = estimated(scores, crossed=True, bounded=False)
    assert result.se[0] == pytest.approx(scores.std(ddof=1) / math.sqrt(80))
    assert (result.low[0] + result.high[0]) / 2 == pytest.approx(scores.mean())


def test_the_interval_of_a_share_is_that_of_its_log_odds_and_stays_inside() -> None:
    """Reference: logit(p) ± t x se / (p (1 - p)), with one right and one wrong answer more."""
    scores = (RNG.random((1, 5, 60)) < 0.8).astype(float)
    result = estimate(of_one_order(moments_of_scores(scores - 0.5, False)), 0.95)
    share = (scores.sum() + 1) / (300 + 2)
    error = scores.mean(2).std(ddof=1) / math.sqrt(5)
    half = stats.t.ppf(0.975, 4) * error / (share * (1 - share))
    odds = math.log(share / (1 - share))
    ends = [1 / (1 + math.exp(-(odds + sign * half))) - 0.5 for sign in (-1, 1)]
    assert (result.low[0], result.high[0]) == pytest.approx(tuple(ends))
    all_right = estimate(of_one_order(moments_of_scores(np.full((1, 5, 60), 0.5), False)), 0.95)
    assert all_right.low[0] < 0.5 - 1 / 304


def test_a_lower_confidence_is_a_narrower_interval() -> None:
    moments = moments_of_scores(answers(4, 30)[None], False)
    wide, narrow = estimate(moments, 0.95), estimate(moments, 0.5)
    assert wide.low[0] < narrow.low[0] < narrow.high[0] < wide.high[0]
    assert wide.p[0] == narrow.p[0]


def test_one_order_of_one_unit_has_two_right_and_two_wrong_answers_more() -> None:
    """Agresti and Coull: 45 of 50 right is (45 + 2) / 54, with its binomial error."""
    scores = np.array([[[0.5] * 45 + [-0.5] * 5]])
    result = estimate(of_one_order(moments_of_scores(scores, False)), 0.95)
    share = 47 / 54
    half = stats.t.ppf(0.975, 49) * math.sqrt(share * (1 - share) / 54)
    ends = (share - half - 0.5, share + half - 0.5)
    assert (result.low[0], result.high[0]) == pytest.approx(ends)
