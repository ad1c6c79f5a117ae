"""The advice on one pair, from gains that are given."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.inference.advice import _kind, _sign, _verdict, advise_pair
from analysis.inference.item_variance import PointGains
from analysis.inference.point_gains import collect_gains
from analysis.inference.power import batches_needed
from analysis.inference.recommendation import (
    BETTER,
    BOUNDS,
    DEPENDS,
    EQUAL,
    LEVELS,
    NEITHER,
    UNTOLD,
    Recommendation,
)
from analysis.inference.score_estimate import ScoreEstimate
from analysis.inference.units import BATCHES, ONE_BATCH, SEEDS
from analysis.labels import Labels
from analysis.metrics.composability import point
from tests.analysis.inference.edited_and_pruned import runs
from tests.analysis.synthetic import curve, frame
from tracking.catalogue import Catalogue

UNITS = (0, 1, 2)
FIRST, SECOND = np.array([0.10, 0.12, 0.11]), np.array([0.02, 0.05, 0.08])


def advice(first: np.ndarray, second: np.ndarray, confidence: float) -> Recommendation:
    """On FT and Wanda at two levels, judged by edit success."""
    values = 0.5 + np.array([first.mean(), second.mean()])
    table = frame(curve("ft", "wanda", [0.25, 0.5], values, [0.5, 0.5]))
    gains_of = {0: PointGains(UNITS, first), 1: PointGains(UNITS, second)}
    titles = Labels(Catalogue.from_runs(table))
    weights = {"edit_success": 1.0}
    return advise_pair(point(table), gains_of, titles, weights, {}, confidence, is_printed=False)


@pytest.mark.parametrize(("confidence", "error_rate"), [(0.5, 0.05), (0.95, 0.05), (0.999, 0.001)])
def test_the_test_over_all_levels_has_two_thirds_of_the_errors(
    confidence: float, error_rate: float
) -> None:
    """At a confidence below 95 % as many sentences may be wrong as at 95 %."""
    on_pair = advice(FIRST, SECOND, confidence)
    scores = (FIRST + SECOND) / 2
    assert on_pair.p == pytest.approx(stats.ttest_1samp(scores, 0).pvalue)
    assert 0.001 < on_pair.p_holm < 0.05 and on_pair.differs == (on_pair.p_holm < error_rate)
    expected = batches_needed(0.05, float(scores.std(ddof=1)), 0.0, 1 - error_rate * 2 / 3)
    assert on_pair.needed == pytest.approx(expected)


def test_where_the_score_is_0_the_forward_order_is_named() -> None:
    tied = advice(FIRST - FIRST.mean(), np.zeros(3), 0.95)
    assert tied.score == pytest.approx(0) and _sign(0.0, []) == 1
    assert advice(np.zeros(3), np.zeros(3), 0.95).order == ("ft", "wanda")
    assert advice(-FIRST, -SECOND, 0.95).order == ("wanda", "ft")


@pytest.mark.parametrize(
    ("within", "sign"),
    [(["forward", "backward"], 1), (["backward", "backward", "forward"], -1), (["neither"], 1)],
)
def test_without_a_score_the_order_that_is_more_often_within_the_bounds_is_named(
    within: list[str], sign: int
) -> None:
    assert _sign(math.nan, [{"within": side} for side in within]) == sign


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [((SEEDS, SEEDS), SEEDS), ((SEEDS, BATCHES), BATCHES), ((BATCHES, ONE_BATCH), ONE_BATCH)],
)
def test_units_of_several_kinds_are_called_by_what_says_least(
    kinds: tuple[str, str], expected: str
) -> None:
    gains_of = {row: PointGains(UNITS, FIRST, kind=kind) for row, kind in enumerate(kinds)}
    assert _kind(gains_of, np.array([0.5, 0.5])) == expected
    assert _kind(gains_of, np.array([0.5, 0.0])) == kinds[0]
    assert _kind(gains_of, np.zeros(2)) == ""


@pytest.mark.parametrize(("backward", "verdict"), [(0.5, EQUAL), (0.75, UNTOLD)])
def test_orders_are_equal_where_all_numbers_are(backward: float, verdict: str) -> None:
    """Gains that cancel out, of 0 on average, are not."""
    counting = pd.DataFrame({"forward": [0.5, 0.75], "backward": [backward, 1.25 - backward]})
    levels = pd.DataFrame({"order": ["ft → wanda"], "differs": [False], "within": ["both"]})
    words = _verdict(ScoreEstimate(0.0), "ft → wanda", False, levels, False, counting)
    assert words == verdict


@pytest.mark.parametrize(
    ("within", "verdict"), [(["neither"] * 2, NEITHER), (["neither", "backward"], BOUNDS)]
)
def test_without_a_level_at_which_both_orders_are_within_the_bounds_these_decide(
    within: list[str], verdict: str
) -> None:
    nothing = pd.DataFrame({"forward": [], "backward": []})
    levels = pd.DataFrame({"order": ["ft → wanda"] * 2, "differs": False, "within": within})
    words = _verdict(ScoreEstimate(math.nan), "ft → wanda", False, levels, False, nothing)
    assert words == verdict


@pytest.mark.parametrize(
    ("claimed", "differs", "verdict"),
    [
        ([], False, UNTOLD),
        ([], True, BETTER),
        (["ft → wanda"], False, LEVELS),
        (["ft → wanda"], True, BETTER),
        (["wanda → ft"], False, LEVELS),
        (["wanda → ft"], True, DEPENDS),
        (["ft → wanda", "wanda → ft"], False, DEPENDS),
    ],
)
def test_it_depends_on_the_level_where_tests_show_both_orders_to_be_better(
    claimed: list[str], differs: bool, verdict: str
) -> None:
    counting = pd.DataFrame({"forward": [0.5], "backward": [0.25]})
    orders = [*claimed, "ft → wanda"]
    levels = pd.DataFrame({"order": orders, "differs": [True] * len(claimed) + [False]})
    words = _verdict(ScoreEstimate(0.1), "ft → wanda", differs, levels, False, counting)
    assert words == verdict


def test_criteria_have_their_means_in_both_orders_and_levels_their_scores() -> None:
    """By default edits and MMLU have a weight, bits have none; here their gain is not known."""
    table = runs()
    points = point(table)
    gains_of = {
        row: gain
        for row, gain in collect_gains(table, points).items()
        if gain.criterion != "average_bits"
    }
    titles = Labels(Catalogue.from_runs(table))
    on_pair = advise_pair(points, gains_of, titles, None, {}, 0.95, is_printed=False)
    columns = ["criterion", "weight", "chosen", "other", "gain", "low", "high", "p", "unit"]
    nan = math.nan
    rows = [
        ("edit_success", 1.0, 0.85, 0.65, 0.2, nan, nan, nan, "F1"),
        ("mmlu", 1.0, 0.52, 0.55, -0.03, nan, nan, nan, "accuracy"),
        ("average_bits", 0.0, 10.0, 10.0, nan, nan, nan, nan, "bits per weight"),
    ]
    pd.testing.assert_frame_equal(on_pair.criteria, pd.DataFrame(rows, columns=columns))
    assert on_pair.levels.score.tolist() == pytest.approx([0.04, 0.13])
    assert on_pair.levels.order.tolist() == ["wanda → ft"] * 2
