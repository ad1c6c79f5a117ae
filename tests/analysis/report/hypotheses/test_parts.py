from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.report.hypotheses.cells import BATCHES
from analysis.report.hypotheses.contrasts import CellValues
from analysis.report.hypotheses.parts import (
    ALL,
    ANY,
    FAILS,
    HOLDS,
    UNTOLD,
    Part,
    PartResult,
    judge_parts,
    verdict_of,
)

SHIFTS = np.array([0.01, -0.02, 0.004, -0.01, 0.016])
VALUES = CellValues(pd.DataFrame({("a", "x"): SHIFTS}))


def part(*means: float, needs: str = ALL, thresholds: int = 0, spread: float = 1.0) -> Part:
    """A part whose differences have these means."""

    def measure(values: CellValues) -> list[np.ndarray]:
        return [mean + spread * SHIFTS * (1 + place / 7) for place, mean in enumerate(means)]

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
