import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.inference.power import _power, batches_needed, units_in_words
from interventions.errors import InvalidInput


@pytest.mark.parametrize(("gain", "spread"), [(0.1, 0.07), (0.05, 0.07), (-0.1, 0.14)])
def test_so_many_batches_show_the_gain_in_four_of_five_simulated_cases(
    gain: float, spread: float
) -> None:
    count = int(batches_needed(gain, spread))
    rng = np.random.default_rng(15)
    shown = []
    for batches in (count, count - 1):
        gains = rng.normal(gain, spread, (6000, batches))
        shown.append(float((stats.ttest_1samp(gains, 0, axis=1).pvalue <= 0.05).mean()))
    assert shown[0] > 0.785 and shown[1] < 0.815


@pytest.mark.parametrize(("spread", "item_error"), [(0.05, 0.0), (0.07, 0.0), (0.07, 0.02)])
def test_the_count_is_the_first_one_with_the_power_of_a_t_test(
    spread: float, item_error: float
) -> None:
    counts = np.arange(3, 40)
    error = np.sqrt(spread**2 / counts + item_error**2)
    critical = stats.t.ppf(0.975, counts - 1)
    power = stats.nct.sf(critical, counts - 1, 0.1 / error)
    assert batches_needed(0.1, spread, item_error) == counts[power >= 0.8][0]


def test_fewer_than_three_are_never_enough() -> None:
    assert batches_needed(0.5, 0.001) == batches_needed(0.5, 0.0) == 3


def test_too_few_items_cannot_be_made_up_for_by_batches() -> None:
    assert batches_needed(0.05, 0.05, item_error=0.03) == math.inf
    assert batches_needed(0.05, 0.05) < batches_needed(0.05, 0.05, item_error=0.01) < math.inf


def test_without_a_spread_nothing_is_known() -> None:
    assert math.isnan(batches_needed(0.05, math.nan))


def test_more_power_or_confidence_needs_more() -> None:
    plain = batches_needed(0.05, 0.1)
    assert plain < batches_needed(0.05, 0.1, power=0.95)
    assert plain < batches_needed(0.05, 0.1, confidence=0.99)
    assert batches_needed(0.005, 0.1) == pytest.approx(7.849 / 0.05**2, rel=0.005)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gain": 0.0}, "gain must be finite and not 0, but got 0"),
        ({"gain": math.inf}, "gain must be finite and not 0, but got inf"),
        ({"power": 1.0}, "power must be between 0 and 1, but got 1"),
        ({"confidence": 95}, "confidence must be between 0 and 1, but got 95"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        batches_needed(**{"gain": 0.1, "spread": 0.1, **options})


def test_the_words_name_units_number_and_gain() -> None:
    def words(basis: str, spread: float, item_error: float = 0.0) -> str:
        row = SimpleNamespace(basis=basis, spread=spread, item_error=item_error)
        return units_in_words(row, 0.1)

    needed = "about 10 {} would be needed to show a gain of 0.1"
    assert words("edit batches and items", 0.1) == needed.format("edit batches")
    assert words("seeds", 0.1) == needed.format("seeds")
    assert words("edit batches", 0.1, 0.2).startswith("no number of edit batches would show")
    assert words("this batch only", math.nan) == ""


def test_without_an_error_every_gain_is_shown() -> None:
    assert _power(0.1, 0.0, 2, 0.95) == 1.0


@pytest.mark.parametrize(("df", "tolerance"), [(4, 1e-9), (200, 1e-9), (201, 1e-4)])
def test_the_power_is_that_of_the_noncentral_t(df: int, tolerance: float) -> None:
    """Above 200 degrees of freedom by a normal approximation; far out, where it is worst."""
    critical = stats.t.ppf((1 + 0.9999) / 2, df)
    exact = float(stats.nct.sf(critical, df, critical + 1))
    assert _power((critical + 1) * 0.02, 0.02, df, 0.9999) == pytest.approx(exact, abs=tolerance)
    assert exact != pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("shift", "is_exact"), [(30.0, True), (30.5, False)])
def test_the_normal_approximation_is_for_gains_of_over_thirty_errors(
    shift: float, is_exact: bool
) -> None:
    confidence = 1 - 2 * float(stats.t.sf(25, 4))
    exact = float(stats.nct.sf(25, 4, shift))
    assert (abs(_power(shift, 1.0, 4, confidence) - exact) < 1e-9) == is_exact
