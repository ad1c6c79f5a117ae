"""What holds at the levels of one pair, of estimates made by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis.inference.level_advice import (
    basis_text,
    corrected,
    count_tests,
    error_share,
    level_table,
    levels_within,
    positions_of_levels,
)
from analysis.inference.recommendation import ITEMS_ONLY
from analysis.inference.score_estimate import ScoreEstimate
from analysis.inference.units import BATCHES, ONE_BATCH, SEEDS

NOTHING = ScoreEstimate(math.nan)
LEVELS = (2.0, 3.0, 4.0, math.nan)


def test_the_second_half_of_the_settings_is_of_the_backward_order() -> None:
    settings = pd.DataFrame(
        {
            "strength": ["bits"] * 8,
            "level": [*LEVELS, *LEVELS],
            "within": [True, True, False, False, True, False, True, False],
        }
    )
    levels = levels_within(settings)
    assert [row["within"] for row in levels] == ["both", "forward", "backward", "neither"]
    assert [row["strength"] for row in levels] == ["bits"] * 4
    assert [row["level"] for row in levels] == pytest.approx(LEVELS, nan_ok=True)
    points = pd.DataFrame({"strength": "bits", "level": [3.0, math.nan, 2.0, 3.0]})
    assert positions_of_levels(points, levels).tolist() == [1, 3, 0, 1]


def test_most_of_the_error_is_for_the_test_over_all_levels() -> None:
    """Weights 4, 1 and 1: 0.01 x 6, then 0.02 x 5, then 0.2 / 4 x 4."""
    overall, first, second = (ScoreEstimate(0.1, p=p) for p in (0.2, 0.01, 0.02))
    of_all, of_levels = corrected(overall, [first, NOTHING, second])
    assert of_all.p_holm == pytest.approx(0.2)
    expected = [0.06, math.nan, 0.1]
    assert [row.p_holm for row in of_levels] == pytest.approx(expected, nan_ok=True)
    assert count_tests([first, NOTHING, second]) == 2
    assert error_share([first, NOTHING, second]) == pytest.approx(2 / 3)


def test_at_a_single_level_nothing_is_corrected() -> None:
    overall, single = ScoreEstimate(0.1, p=0.02), ScoreEstimate(0.1, p=0.03)
    of_all, of_levels = corrected(overall, [NOTHING, single])
    assert (of_all.p_holm, of_levels[1].p_holm) == (0.02, 0.03)
    assert error_share([NOTHING, single]) == 1


@pytest.mark.parametrize(
    ("estimate", "kind", "basis"),
    [
        (NOTHING, BATCHES, ""),
        (ScoreEstimate(0.1, 0.0, 0.2, units=1, items_only=True), BATCHES, ONE_BATCH),
        (ScoreEstimate(0.1, 0.0, 0.2, units=2, items_only=True), BATCHES, ITEMS_ONLY),
        (ScoreEstimate(0.1, 0.0, 0.2, units=1, items_only=True), SEEDS, ITEMS_ONLY),
        (ScoreEstimate(0.1, 0.0, 0.2, units=3, with_items=True), SEEDS, f"{SEEDS} and items"),
        (ScoreEstimate(0.1, 0.0, 0.2, units=3, with_items=True), ONE_BATCH, ONE_BATCH),
        (ScoreEstimate(0.1, 0.0, 0.2, units=3), BATCHES, BATCHES),
    ],
)
def test_the_basis_says_what_an_interval_is_over(
    estimate: ScoreEstimate, kind: str, basis: str
) -> None:
    assert basis_text(estimate, kind) == basis


def test_a_level_has_the_order_that_is_ahead_or_alone_within_the_bounds() -> None:
    estimates = [
        ScoreEstimate(0.25, 0.125, 0.5, units=3, p=0.01, p_holm=0.1),
        ScoreEstimate(-0.25, -0.5, -0.125, units=4, p=0.02, p_holm=0.2),
        ScoreEstimate(0.0, units=2),
        NOTHING,
    ]
    withins = ("both", "both", "both", "backward")
    levels = [
        {"strength": "bits", "level": level, "within": within}
        for level, within in zip(LEVELS, withins, strict=True)
    ]
    table = level_table(levels, estimates, ("ft", "awq"), 0.1, BATCHES)
    nan = np.nan
    expected = pd.DataFrame(
        {
            "strength": "bits",
            "level": LEVELS,
            "order": ["ft → awq", "awq → ft", "ft → awq", "awq → ft"],
            "score": [0.25, 0.25, 0.0, nan],
            "low": [0.125, 0.125, nan, nan],
            "high": [0.5, 0.5, nan, nan],
            "p": [0.01, 0.02, nan, nan],
            "p_holm": [0.1, 0.2, nan, nan],
            "differs": [True, False, False, False],
            "units": [3, 4, 2, 0],
            "basis": [BATCHES, BATCHES, "", ""],
            "within": withins,
        }
    )
    pd.testing.assert_frame_equal(table, expected)
