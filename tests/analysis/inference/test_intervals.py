import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference.intervals import intervals
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.inference.replicated import (
    BACKWARD,
    BATCHES,
    FORWARD,
    RNG,
    interval,
    replicated,
)
from tests.analysis.synthetic import curve, frame


def test_the_interval_of_the_gain_is_that_of_a_paired_t_test() -> None:
    """Reference: mean ± 2.02 standard errors of the differences (39 degrees of freedom)."""
    row, differences = interval(replicated()), FORWARD - BACKWARD
    half = 2.0227 * differences.std(ddof=1) / math.sqrt(BATCHES)
    assert row.gain == pytest.approx(differences.mean())
    assert row.gain_low == pytest.approx(differences.mean() - half, abs=0.15 * half)
    assert row.gain_high == pytest.approx(differences.mean() + half, abs=0.15 * half)
    assert (row.units, row.over, row.replicates) == (BATCHES, "edit batches and seeds", BATCHES)
    assert row.sure > 0.999


def test_orders_are_resampled_in_pairs() -> None:
    """Unpaired, the common noise of 0.05 would make the interval six times as wide."""
    row = interval(replicated())
    unpaired = 2 * 1.96 * math.sqrt((FORWARD.var() + BACKWARD.var()) / BATCHES)
    assert row.gain_high - row.gain_low < unpaired / 3


def test_the_interval_of_the_error_is_that_of_the_better_order() -> None:
    row = interval(replicated())
    half = 2.0227 * FORWARD.std(ddof=1) / math.sqrt(BATCHES)
    assert row.order_free_error == pytest.approx(1 - FORWARD.mean())
    assert row.order_free_error_low == pytest.approx(1 - FORWARD.mean() - half, abs=0.2 * half)
    assert row.order_free_error_high == pytest.approx(1 - FORWARD.mean() + half, abs=0.2 * half)


def test_where_lower_is_better_the_gain_is_turned_round() -> None:
    row = interval(replicated(criterion="wmdp"))
    assert row.gain == pytest.approx(-(FORWARD - BACKWARD).mean())
    assert row.gain_high < 0
    assert row.order_free_error_low < BACKWARD.mean() < row.order_free_error_high


def test_the_interval_of_the_sensitivity_reaches_zero_only_if_that_of_the_difference_does() -> None:
    clear, unclear = (
        interval(replicated()),
        interval(replicated(BACKWARD + RNG.normal(0, 0.05, BATCHES))),
    )
    assert 0 < clear.order_sensitivity_low < clear.order_sensitivity < clear.order_sensitivity_high
    assert unclear.gain_low < 0 < unclear.gain_high
    assert unclear.order_sensitivity_low == 0


def test_intervals_of_nineteen_in_twenty_samples_hold_the_truth() -> None:
    """Coverage over 200 samples of 20 batches; percentile intervals are a little short."""
    rng, runs = np.random.default_rng(3), []
    for sample in range(200):
        for batch in range(20):
            first, second = 0.7 + rng.normal(0, 0.1), 0.6 + rng.normal(0, 0.1)
            runs += curve(
                "ft",
                "wanda",
                [0.5],
                [first],
                [second],
                edit_batch=batch,
                **{"ft.lr": float(sample + 1)},
            )
    table = frame(runs)
    rows = intervals(table, point(table))
    assert len(rows) == 200
    assert 0.88 <= ((rows.gain_low <= 0.1) & (rows.gain_high >= 0.1)).mean() <= 0.99


def test_one_run_per_order_has_no_interval() -> None:
    row = interval(frame(curve("ft", "wanda", [0.5], [0.9], [0.8])))
    assert (row.units, row.over) == (0, "")
    assert math.isnan(row.gain_low) and math.isnan(row.sure)
    assert row.gain == pytest.approx(0.1)


def test_an_infinite_replicate_has_no_interval() -> None:
    row = interval(
        replicated(
            np.append(FORWARD[:6], np.inf), np.append(BACKWARD[:6], 9.0), criterion="wikitext_ppl"
        )
    )
    assert row.forward == math.inf
    assert math.isnan(row.gain_low)


def test_equal_input_gives_equal_intervals() -> None:
    runs = replicated()
    pd.testing.assert_frame_equal(intervals(runs, point(runs)), intervals(runs, point(runs)))


def test_a_confidence_is_between_0_and_1() -> None:
    with pytest.raises(InvalidInput, match="confidence must be between 0 and 1, but got 95"):
        interval(replicated(), confidence=95)


def test_the_sensitivity_is_the_size_of_the_difference_whichever_order_is_better() -> None:
    ahead, behind = interval(replicated()), interval(replicated(BACKWARD, FORWARD))
    assert behind.gain_high < 0
    assert behind.order_sensitivity_low == pytest.approx(-behind.gain_high)
    assert behind.order_sensitivity_high == pytest.approx(-behind.gain_low)
    assert behind.order_sensitivity_low == pytest.approx(ahead.order_sensitivity_low)
    assert behind.sure == ahead.sure > 0.999


def test_equal_orders_are_as_sure_as_a_coin_and_their_gain_has_no_sign() -> None:
    row = interval(replicated(FORWARD, FORWARD, criterion="wmdp"))
    assert row.sure == 0.5
    assert (row.gain, math.copysign(1, row.gain)) == (0.0, 1.0)


def test_the_interval_of_the_worse_order_is_around_the_worse_order() -> None:
    runs = replicated()
    points = point(runs, error="worst")
    row: Any = next(intervals(runs, points, error="worst").itertuples())
    assert row.order_free_error == pytest.approx(1 - BACKWARD.mean())
    assert row.order_free_error_low < row.order_free_error < row.order_free_error_high


def test_without_a_direction_there_is_an_interval_of_the_sensitivity_alone() -> None:
    row = interval(replicated(criterion="sparsity"))
    for name in ("gain", "gain_low", "gain_high", "sure", "order_free_error_low"):
        assert math.isnan(getattr(row, name))
    assert math.isnan(row.order_free_error_high)
    assert 0 < row.order_sensitivity_low < row.order_sensitivity < row.order_sensitivity_high
