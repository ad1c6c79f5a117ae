import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference import intervals
from analysis.metrics import composability as co
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame

RNG = np.random.default_rng(7)
BATCHES = 40
NOISE = RNG.normal(0, 0.05, BATCHES)  # what both orders of an edit batch have in common
FORWARD, BACKWARD = (
    0.70 + NOISE + RNG.normal(0, 0.01, BATCHES),
    0.65 + NOISE + RNG.normal(0, 0.01, BATCHES),
)


def replicated(
    forward: np.ndarray = FORWARD, backward: np.ndarray = BACKWARD, criterion: str = "edit_success"
) -> pd.DataFrame:
    return frame(
        run
        for batch, (one, other) in enumerate(zip(forward, backward, strict=True))
        for run in curve(
            "ft", "wanda", [0.5], [one], [other], criterion=criterion, edit_batch=batch
        )
    )


def interval(runs: pd.DataFrame, items: pd.DataFrame | None = None, **options: Any) -> Any:
    (row,) = intervals.intervals(runs, co.point(runs), items, **options).itertuples()
    return row


def test_the_interval_of_the_gain_is_that_of_a_paired_t_test() -> None:
    """An independent reference: mean ± 2.02 standard errors of the differences (t with 39 degrees of freedom)."""
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
    """Coverage of a 95 % interval over 200 samples of 20 batches; percentile intervals are a little short."""
    rng, runs = np.random.default_rng(3), []
    for sample in range(200):
        for batch in range(20):
            one, other = 0.7 + rng.normal(0, 0.1), 0.6 + rng.normal(0, 0.1)
            runs += curve(
                "ft",
                "wanda",
                [0.5],
                [one],
                [other],
                edit_batch=batch,
                **{"ft.lr": float(sample + 1)},
            )
    table = frame(runs)
    rows = intervals.intervals(table, co.point(table))
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
    one, other = (intervals.intervals(runs, co.point(runs)) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)


def test_a_confidence_is_between_0_and_1() -> None:
    with pytest.raises(InvalidInput, match="confidence must be between 0 and 1, but got 95"):
        interval(replicated(), confidence=95)


# items


def with_items(
    scores: list[tuple[float, float]], criterion: str = "edit_success", **columns: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One run per order, with a score per item of each."""
    means = [float(np.mean(side)) for side in zip(*scores, strict=True)]
    runs = frame(curve("ft", "wanda", [0.5], means[:1], means[1:], criterion=criterion, **columns))
    forward = runs.step1 == "ft"
    rows = [
        {"run_id": runs.run_id[forward if order == 0 else ~forward].item(), "criterion": criterion, "step": 2,
         "item": str(i), "score": pair[order]}
        for i, pair in enumerate(scores)
        for order in (0, 1)
    ]  # fmt: skip
    return runs, pd.DataFrame(rows)


def test_items_are_resampled_in_pairs_where_there_are_few_replicates() -> None:
    """Reference: 60 items that are 1 / 1, 30 that are 1 / 0, 10 that are 0 / 1; McNemar's standard error."""
    scores = [(1.0, 1.0)] * 60 + [(1.0, 0.0)] * 30 + [(0.0, 1.0)] * 10
    row = interval(*with_items(scores))
    error = math.sqrt((30 + 10 - (30 - 10) ** 2 / 100) / 100**2)
    assert row.gain == pytest.approx(0.2)
    assert row.gain_high - row.gain_low == pytest.approx(2 * 1.96 * error, rel=0.12)
    assert (row.units, row.over) == (100, "items")


def test_many_replicates_go_before_items() -> None:
    runs = replicated()
    _, items = with_items([(1.0, 0.0)] * 20)
    assert interval(runs, items).over == "edit batches and seeds"


def test_a_criterion_that_is_not_the_mean_of_its_items_has_no_interval_from_them() -> None:
    """Perplexity is the exponential of a mean; its items are negative log-likelihoods."""
    runs, items = with_items([(1.5, 1.6), (1.7, 1.8)], criterion="wikitext_ppl")
    runs["wikitext_ppl"] = np.exp(runs.wikitext_ppl)
    assert interval(runs, items).over == ""


def test_what_is_measured_exactly_has_no_width_whatever_its_items_are() -> None:
    """Average bits: every layer is measured, so layers are no sample."""
    runs, items = with_items(
        [(4.0, 4.0), (8.0, 4.0)], criterion="average_bits", **{"stderr/average_bits": 0.0}
    )
    row = interval(runs, items)
    assert (row.gain_low, row.gain_high, row.units) == (-2.0, -2.0, 0)


def test_items_of_replicates_are_averaged_by_item() -> None:
    """Two batches with the same questions are no two samples of questions."""
    one, other = (
        with_items([(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)]),
        with_items([(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)]),
    )
    other[0]["edit_batch"] = 1
    row = interval(pd.concat([one[0], other[0]]), pd.concat([one[1], other[1]]))
    assert (row.units, row.replicates) == (3, 2)


def test_items_of_different_edit_batches_are_not_paired() -> None:
    runs, items = with_items([(1.0, 0.0)] * 20)
    runs["edit_batch"] = [0, 1]
    both = pd.concat([runs, frame(curve("ft", "wanda", [0.75], [0.9], [0.8]))], ignore_index=True)
    row: Any = intervals.intervals(both, co.point(both), items).set_index("level").loc[0.5]
    assert (row.units, row.over, row.replicates) == (0, "", 0)
    assert math.isnan(row.gain)
