from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from analysis.report.hypotheses import parts
from analysis.report.hypotheses.cells import BATCHES, SEEDS, TEXTS
from analysis.report.hypotheses.contrasts import CannotTest, CellValues
from analysis.report.hypotheses.parts import (
    ALL,
    ANY,
    FAILS,
    HOLDS,
    LEVEL,
    UNTOLD,
    Part,
    PartResult,
    counted_replicates,
    judge_parts,
    verdict_of,
)

SHIFTS = np.array([0.01, -0.02, 0.004, -0.01, 0.016])
VALUES = CellValues(pd.DataFrame({("a", "x"): SHIFTS}))


def part(*means: float, needs: str = ALL, thresholds: int = 0, spread: float = 1.0) -> Part:
    """A part whose differences have these means."""

    def measure(values: CellValues) -> list[np.ndarray]:
        shifts = spread * SHIFTS[: len(values.table)]
        return [mean + shifts * (1 + place / 7) for place, mean in enumerate(means)]

    return Part(1, "a claim", "x", BATCHES, ("a",), measure, needs, thresholds)


def verdict(tested: Part) -> str:
    return judge_parts([tested], VALUES)[0].verdict


@pytest.mark.parametrize(
    ("tested", "expected"),
    [
        (part(0.3), HOLDS),
        (part(-0.3), FAILS),
        (part(0.001), UNTOLD),
        (part(0.3, 0.2), HOLDS),
        (part(0.3, 0.001), UNTOLD),
        (part(0.3, -0.3), FAILS),
        (part(0.001, 0.3, needs=ANY), HOLDS),
        (part(0.001, -0.3, needs=ANY), HOLDS),
        (part(0.001, 0.002, needs=ANY), UNTOLD),
        (part(0.3, -0.3, thresholds=1), UNTOLD),
        (part(-0.3, 0.3, thresholds=1), FAILS),
    ],
)
def test_a_verdict_is_what_the_tests_of_all_differences_say(tested: Part, expected: str) -> None:
    assert verdict(tested) == expected


def test_differences_without_spread_are_not_tested() -> None:
    (result,) = judge_parts([part(0.3, spread=0.0)], VALUES)
    assert (result.verdict, result.reason) == (UNTOLD, "no spread between edit batches")
    assert result.effect == pytest.approx(0.3) and np.isnan(result.p)


def test_the_smallest_difference_is_shown_where_all_must_be_above_0() -> None:
    (result,) = judge_parts([part(0.3, 0.2)], VALUES)
    assert result.effect == pytest.approx(0.2)


def test_p_is_corrected_over_all_parts() -> None:
    alone = judge_parts([part(0.02)], VALUES)[0]
    among = judge_parts([part(0.02), part(0.001), part(0.002)], VALUES)[0]
    assert alone.p_holm == alone.p
    assert among.p_holm == pytest.approx(3 * alone.p)


def test_the_interval_of_a_difference_among_several_is_wider() -> None:
    (single,) = judge_parts([part(0.3, needs=ANY)], VALUES)
    (several,) = judge_parts([part(0.3, 0.001, needs=ANY)], VALUES)
    assert several.high - several.low > single.high - single.low


def test_a_finding_holds_where_all_parts_do_and_fails_where_one_does() -> None:
    holds, fails, untold = (PartResult(part(0.1), verdict=name) for name in (HOLDS, FAILS, UNTOLD))
    assert verdict_of([holds, holds]) == HOLDS
    assert verdict_of([holds, untold]) == UNTOLD
    assert verdict_of([holds, fails, untold]) == FAILS


def test_what_cannot_be_tested_here_says_why_whatever_was_run() -> None:
    (result,) = judge_parts([replace(part(0.3), lacking="no such step")], VALUES)
    assert (result.verdict, result.reason, result.replicates) == (UNTOLD, "no such step", 0)


def test_a_part_says_something_of_the_values() -> None:
    noted = replace(part(0.3), note=lambda values: f"of {len(values.table)} rows")
    assert judge_parts([noted], VALUES)[0].note == "of 5 rows"
    none = CellValues(VALUES.table.iloc[:0])
    assert judge_parts([noted], none)[0].note == ""


def test_a_measure_may_say_why_there_is_no_test() -> None:
    def measure(values: CellValues) -> list[np.ndarray]:
        raise CannotTest("nothing was taken")

    (result,) = judge_parts([replace(part(0.3), measure=measure)], VALUES)
    assert (result.verdict, result.reason) == (UNTOLD, "nothing was taken")


def test_values_that_are_not_finite_are_not_tested() -> None:
    infinite = CellValues(VALUES.table.replace(SHIFTS[1], np.inf))
    (result,) = judge_parts([part(0.3)], infinite)
    assert (result.verdict, result.reason) == (UNTOLD, "some values are not finite")


def test_each_kind_of_replicates_has_its_own_values() -> None:
    of_texts = replace(part(0.3), over=TEXTS)
    both = judge_parts([of_texts, part(0.3)], {TEXTS: VALUES, BATCHES: few(3)})
    assert [result.replicates for result in both] == [5, 3]
    assert counted_replicates(1, TEXTS) == "1 text" and counted_replicates(2, TEXTS) == "2 texts"


def test_a_cell_that_no_seed_changes_is_no_sign_that_seeds_are_alike() -> None:
    table = pd.DataFrame({("a", "x"): SHIFTS, ("base", "x"): [0.5] + [np.nan] * 4})
    seeds = replace(part(0.3), over=SEEDS, cells=("a", "base"))
    assert judge_parts([seeds], CellValues(table))[0].replicates == 1
    constant = replace(seeds, constant=("base",))
    (result,) = judge_parts([constant], CellValues(table))
    assert (result.verdict, result.replicates) == (HOLDS, 5)


def few(count: int) -> CellValues:
    return CellValues(VALUES.table.iloc[:count])


def test_p_is_that_of_a_two_sided_test_of_the_mean() -> None:
    """With no more than the fewest replicates too."""
    for values in (VALUES, few(3)):
        shifts = values.table["a", "x"].to_numpy()
        for mean in (0.02, -0.02):
            expected = ttest_1samp(mean + shifts, 0).pvalue
            assert judge_parts([part(mean)], values)[0].p == pytest.approx(expected)


def test_a_p_value_at_the_level_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (result,) = judge_parts([part(0.02)], VALUES)
    monkeypatch.setattr(parts, "LEVEL", result.p_holm)
    assert verdict(part(0.02)) == HOLDS and verdict(part(-0.02)) == FAILS
    monkeypatch.setattr(parts, "LEVEL", np.nextafter(result.p_holm, 0))
    assert verdict(part(0.02)) == UNTOLD


def test_against_a_claim_the_smallest_p_of_all_is_corrected() -> None:
    """A threshold does not count among them, nor does a difference without spread."""
    alone, among, beside = (
        judge_parts([tested], VALUES)[0].p
        for tested in (part(-0.02), part(-0.02, 0.3, 0.3), part(-0.02, 0.3, thresholds=1))
    )
    assert among == pytest.approx(3 * alone) and beside == pytest.approx(alone)


def test_of_differences_without_spread_the_first_or_the_smallest_is_shown() -> None:
    means = (0.3, 0.2, 0.4)
    effects = [
        judge_parts([part(*means, needs=needs, spread=0.0)], VALUES)[0].effect
        for needs in (ANY, ALL)
    ]
    assert effects == pytest.approx([0.3, 0.2])


def test_the_surest_of_several_is_shown_at_the_level_of_all() -> None:
    """Its interval is Bonferroni's: of two differences, 97.5 %."""
    (result,) = judge_parts([part(0.001, 0.1, needs=ANY)], VALUES)
    second = ttest_1samp(0.1 + SHIFTS * 8 / 7, 0)
    interval = second.confidence_interval(1 - LEVEL / 2)
    assert result.effect == pytest.approx(0.1) and result.p == pytest.approx(2 * second.pvalue)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


def test_seeds_that_lead_to_equal_values_are_counted() -> None:
    cells = ("a", "b", "c", "d")
    table = pd.DataFrame({(cell, "x"): [0.1, 0.1, 0.2] for cell in cells})
    alike = replace(part(0.3), over=SEEDS, cells=cells)
    (result,) = judge_parts([alike], CellValues(table))
    assert result.reason == "some seeds lead to equal values: a, b, c and 1 more"
    (result,) = judge_parts([replace(alike, cells=cells[:3])], CellValues(table))
    assert result.reason == "some seeds lead to equal values: a, b, c"
    (single,) = judge_parts([alike], CellValues(table.iloc[:1]))
    assert single.reason == "1 seed, and a test needs 3" and single.effect == pytest.approx(0.31)


def test_no_corrected_p_is_above_1() -> None:
    tested = (part(0.3, -0.0001), part(0.001, 0.002, needs=ANY))
    assert [judge_parts([doubtful], VALUES)[0].p for doubtful in tested] == [1, 1]
