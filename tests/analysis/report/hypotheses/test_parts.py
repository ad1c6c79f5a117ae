from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.report.hypotheses.cells import BATCHES, SEEDS, TEXTS
from analysis.report.hypotheses.contrasts import CannotTest, CellValues
from analysis.report.hypotheses.parts import (
    ALL,
    ANY,
    FAILS,
    HOLDS,
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
    of: Callable[[str], PartResult] = lambda name: PartResult(part(0.1), verdict=name)  # noqa: E731
    assert verdict_of([of(HOLDS), of(HOLDS)]) == HOLDS
    assert verdict_of([of(HOLDS), of(UNTOLD)]) == UNTOLD
    assert verdict_of([of(HOLDS), of(FAILS), of(UNTOLD)]) == FAILS


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
