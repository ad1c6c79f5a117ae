from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.inference.corrections import holm
from analysis.report.findings.evidence import LEVEL, NOTABLE
from analysis.report.findings.losses import (
    _NAMING,
    _RUNS,
    KEEPS,
    LOSES,
    UNKNOWN,
    _of_better_order,
    _verdict,
    measured_losses,
)
from analysis.report.paired import paired_test
from tests.analysis.report.findings.sentences import BATCHES, alone, evidence_of, replicated
from tests.analysis.synthetic import curve, only, run


def test_the_loss_is_that_of_the_better_order_and_both_must_lose() -> None:
    runs = [*replicated("ft", "wanda", {0.5: 0.5}, {0.5: 0.7}), *alone("ft", 0.95)]
    row = only(measured_losses(evidence_of(runs)))
    assert (row.side, row.verdict, row.units) == ("ft", LOSES, 5)
    assert row.loss == pytest.approx(0.25, abs=0.01)
    assert row.low < row.loss < row.high
    one_order_keeps = [*replicated("ft", "wanda", {0.5: 0.5}, {0.5: 0.95}), *alone("ft", 0.95)]
    assert only(measured_losses(evidence_of(one_order_keeps))).verdict == KEEPS


def test_what_is_neither_kept_nor_lost_by_a_test_cannot_be_told() -> None:
    noisy = [
        entry
        for batch, shift in enumerate((0.3, -0.3, 0.2, -0.25, 0.1))
        for entry in curve("ft", "wanda", [0.5], [0.9 - shift], [0.9 - shift], edit_batch=batch)
    ]
    row = only(measured_losses(evidence_of([*noisy, *alone("ft", 0.95)])))
    assert row.verdict == UNKNOWN


def test_a_loss_that_is_sure_and_small_is_none() -> None:
    runs = []
    for batch, shift in enumerate(BATCHES):
        both = ([0.935 + shift * 1.1], [0.93 + shift * 0.9])
        runs += curve("ft", "wanda", [0.5], *both, edit_batch=batch)
        runs.append(run("ft", edit_batch=batch, edit_success=0.95 + shift))
    row = only(measured_losses(evidence_of(runs)))
    assert row.p_holm < 0.01 and 0 < row.low < row.high < 0.05
    assert row.verdict == KEEPS


def kept_somewhere(rng: np.random.Generator, loss: float, points: int = 32) -> bool:
    """Whether anything is said to be kept of points that all lose as much, over five batches."""
    tests = [
        [paired_test(rng.normal(loss, 0.03, 5)) for _ in ("forward", "backward")]
        for _ in range(points)
    ]
    p_kept = np.array([_of_better_order(both)[4] for both in tests])
    return bool((holm(p_kept) <= LEVEL).any())


def test_of_experiments_in_which_everything_loses_five_hundredths_few_say_that_one_keeps() -> None:
    rng = np.random.default_rng(5)
    false = [kept_somewhere(rng, NOTABLE) for _ in range(150)]
    # nominal 5 %: 14 and more of 150 would come about once in a hundred times
    assert np.mean(false) <= 13 / 150
    assert np.mean([kept_somewhere(rng, -0.05) for _ in range(20)]) >= 0.9


def test_one_run_tells_no_loss() -> None:
    runs = [*curve("ft", "wanda", [0.5], [0.1], [0.1]), run("ft", edit_success=0.95)]
    row = only(measured_losses(evidence_of(runs)))
    assert (row.verdict, row.units) == (UNKNOWN, 1)
    assert row.loss == pytest.approx(0.85) and np.isnan(row.p_holm)


def test_an_unlearner_alone_stands_for_all_batches_of_edits() -> None:
    runs = [run("rmu", wmdp=0.3)]
    for batch, shift in enumerate(BATCHES):
        values = {"edit_success": 0.9, "wmdp": 0.5 + shift}
        runs += [run(steps, edit_batch=batch, **values) for steps in ("ft | rmu", "rmu | ft")]
    row = only(measured_losses(evidence_of(runs)))
    assert (row.side, row.criterion, row.verdict, row.units) == ("rmu", "wmdp", LOSES, 5)
    assert row.loss == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("intervention", "criterion", "replicate", "step", "units"),
    [
        ("rmu", "wmdp", "seed", 0.0, 1),
        ("rmu", "wmdp", "seed", 2e-11, 1),
        ("rmu", "wmdp", "seed", 2e-10, 3),
        ("ft", "edit_success", "seed", 0.0, 1),
        ("ft", "edit_success", "edit_batch", 0.0, 3),
    ],
)
def test_seeds_that_end_with_equal_values_are_one_unit_and_batches_are_not(
    intervention: str, criterion: str, replicate: str, step: float, units: int
) -> None:
    runs = []
    for number in range(3):
        columns: dict[str, Any] = {replicate: number}
        ends = ([0.5 + number * step], [0.25])
        runs += curve(intervention, "wanda", [0.5], *ends, criterion=criterion, **columns)
        runs.append(run(intervention, **{criterion: 0.75}, **columns))
    assert only(measured_losses(evidence_of(runs))).units == units


def test_p_is_at_most_one() -> None:
    gained = paired_test([-0.1, -0.3, -0.2])
    lost = paired_test([0.8, 0.9, 0.7])
    *_, p_lost, p_kept, _ = _of_better_order([gained, lost])
    assert gained.p_greater > 0.5 and p_lost == 1
    *_, p_lost, p_kept, _ = _of_better_order([lost, lost])
    assert lost.p_below(NOTABLE) > 0.5 and p_kept == 1
    assert p_lost == pytest.approx(lost.p)


@pytest.mark.parametrize(
    ("p_kept", "p_lost", "low", "verdict"),
    [
        (LEVEL, 0.001, 0.01, KEEPS),
        (0.051, LEVEL, 0.01, LOSES),
        (0.051, LEVEL, 0.0, UNKNOWN),
        (0.051, 0.051, 0.01, UNKNOWN),
    ],
)
def test_a_verdict_needs_a_p_of_five_hundredths_and_a_loss_an_interval_above_zero(
    p_kept: float, p_lost: float, low: float, verdict: str
) -> None:
    row = SimpleNamespace(p_kept_holm=p_kept, p_holm=p_lost, low=low)
    assert _verdict(row) == verdict


def test_a_row_names_its_point_and_has_no_other_columns() -> None:
    runs = [*replicated("ft", "wanda", {0.5: 0.5}, {0.5: 0.7}), *alone("ft", 0.95)]
    columns = set(measured_losses(evidence_of(runs)))
    tested = {"side", "loss", "low", "high", "p", "p_holm", "p_kept", "p_kept_holm", "units"}
    assert columns == {*_NAMING, *_RUNS, *tested, "alone_runs", "verdict"}


def test_the_level_of_the_judged_intervention_must_be_the_same() -> None:
    runs = curve("rmu", "ft", [1.0], [0.5], [0.5], criterion="wmdp")
    assert measured_losses(evidence_of(runs)).empty


def test_the_p_of_keeping_counts_both_orders_and_all_points() -> None:
    both = [paired_test([0.01, 0.03, 0.02]), paired_test([0.0, 0.05, 0.03])]
    assert _of_better_order(both)[4] == pytest.approx(2 * both[0].p_below(NOTABLE))
    runs = [*replicated("ft", "wanda", {0.25: 0.95, 0.5: 0.94}, {0.25: 0.94, 0.5: 0.95})]
    rows = measured_losses(evidence_of([*runs, *alone("ft", 0.95)]))
    assert len(rows) == 2
    assert rows.p_kept_holm.tolist() == pytest.approx(holm(rows.p_kept.to_numpy()).tolist())
    assert (rows.p_kept_holm > rows.p_kept).any()
