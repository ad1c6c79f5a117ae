"""One testable part of a finding, and the verdict that its test comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.inference.corrections import holm
from analysis.report.hypotheses.cells import BATCHES, QUESTIONS, SEEDS, TEXTS
from analysis.report.hypotheses.contrasts import CannotTest, CellValues
from analysis.report.paired import FEWEST, PairedTest, paired_test

HOLDS, FAILS, UNTOLD = "holds", "does not hold", "cannot be told"
LEVEL = 0.05  # of the tests, corrected over all parts
ALL, ANY = "all", "any"
Measure = Callable[[CellValues], list[np.ndarray]]


@dataclass(frozen=True)
class Part:
    """One testable part of a finding.

    Attributes:
        finding: the number of the finding that it belongs to.
        claim: what it says, as a sentence without a full stop.
        unit: of the effect, in words.
        over: what its replicates are.
        cells: that it needs.
        measure: returns differences per replicate, each of shape (replicates,): the claim is that
            their means are above 0.
        needs: "all" of the means above 0, or "any" of them different from 0.
        thresholds: how many of the last differences must be above 0 for the claim to hold, but say
            nothing against it below: they ask how large an effect is, not whether there is one.
        constant: those of the cells whose single value holds for every replicate.
        note: returns what the page says beside the verdict.
        lacking: why it cannot be tested here, whatever was run; empty where it can.
    """

    finding: int
    claim: str
    unit: str
    over: str
    cells: tuple[str, ...]
    measure: Measure
    needs: str = ALL
    thresholds: int = 0
    constant: tuple[str, ...] = ()
    note: Callable[[CellValues], str] | None = None
    lacking: str = ""


@dataclass(frozen=True)
class PartResult:
    """What the test of a part came to.

    Attributes:
        part: that was tested.
        effect: the mean difference; of several the one that decides.
        low: lower end of its interval.
        high: its upper end.
        p: of the test, before the correction; NaN where it was not tested.
        p_holm: corrected over all parts.
        replicates: how many.
        verdict: HOLDS, FAILS or UNTOLD.
        reason: why there is no test; empty where there is one.
        note: what the part says of the values; empty where it says nothing.
    """

    part: Part
    effect: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan
    p_holm: float = np.nan
    replicates: int = 0
    verdict: str = UNTOLD
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class _Decision:
    """The test that decides a part, its p value, and its verdict where that p is small enough."""

    test: PairedTest
    p: float
    verdict: str


def judge_parts(
    parts: Sequence[Part], values: CellValues | Mapping[str, CellValues]
) -> list[PartResult]:
    """Return the result of every part, corrected over all that can be tested (Holm).

    Args:
        parts: of all findings.
        values: of the compositions; or those for each kind of replicates, by ``Part.over``.
    """
    of_kind = values if isinstance(values, Mapping) else {part.over: values for part in parts}
    measured = [_measured(part, of_kind[part.over]) for part in parts]
    corrected = holm(np.array([result.p for result in measured]))
    results = []
    for result, p_holm in zip(measured, corrected, strict=True):
        verdict = result.verdict if p_holm <= LEVEL else UNTOLD
        results.append(replace(result, p_holm=float(p_holm), verdict=verdict))
    return results


def _measured(part: Part, values: CellValues) -> PartResult:
    """Return a part's result before the correction."""
    if part.lacking:
        return PartResult(part, reason=part.lacking)
    try:
        common = values.common(part.cells, part.constant)
        replicates = len(common.table)
        if not np.isfinite(common.table.to_numpy(float)).all():
            raise CannotTest("some values are not finite")
        differences = part.measure(common) if replicates else [np.array([np.nan])]
        note = part.note(common) if part.note and replicates else ""
    except CannotTest as error:
        return PartResult(part, reason=str(error))
    # another batch of edits has other weights; another seed need not
    alike = [
        cell
        for cell in part.cells
        if part.over == SEEDS and cell not in part.constant and common.distinct(cell) < replicates
    ]
    if alike or replicates < FEWEST:
        effect = float(np.mean(differences[0]))
        reason = f"{counted_replicates(replicates, part.over)}, and a test needs {FEWEST}"
        if alike:
            reason = f"some seeds lead to equal values: {_few(alike)}"
        return PartResult(part, effect, replicates=replicates, reason=reason, note=note)
    is_any = part.needs == ANY
    decision = _of_any(differences) if is_any else _of_all(differences, part.thresholds)
    test = decision.test
    reason = "" if np.isfinite(decision.p) else f"no spread between {part.over}"
    return PartResult(
        part,
        test.mean,
        test.low,
        test.high,
        decision.p,
        replicates=replicates,
        verdict=decision.verdict,
        reason=reason,
        note=note,
    )


def counted_replicates(count: int, over: str) -> str:
    """Return ``1 seed`` or ``10 edit batches``.

    Example:
        >>> counted_replicates(1, "edit batches"), counted_replicates(3, "seeds")
        ('1 edit batch', '3 seeds')
    """
    singular = {BATCHES: "edit batch", SEEDS: "seed", TEXTS: "text", QUESTIONS: "question"}
    return f"{count} {singular[over] if count == 1 else over}"


def _few(cells: Sequence[str]) -> str:
    """Return the first three names of some cells, and how many more there are."""
    more = f" and {len(cells) - 3} more" if len(cells) > 3 else ""
    return ", ".join(cells[:3]) + more


def _of_all(differences: Sequence[np.ndarray], thresholds: int) -> _Decision:
    """Return the decision where every mean must be above 0; the smallest of them is shown.

    For the claim speaks the largest p value of all, so that no correction is needed (an
    intersection-union test); against it the smallest, times how many there are.
    """
    tests = [paired_test(difference) for difference in differences]
    p_greater = np.array([test.p_greater for test in tests])
    p_for = float(p_greater.max()) if np.isfinite(p_greater).all() else np.inf
    may_refute = p_greater[: len(tests) - thresholds]
    against = 1 - may_refute[np.isfinite(may_refute)]
    decisive = min(tests, key=lambda test: test.mean)
    if not len(against):
        return _Decision(decisive, np.nan, UNTOLD)
    p_against = float(len(may_refute) * against.min())
    p, verdict = min((p_for, HOLDS), (p_against, FAILS))
    return _Decision(decisive, min(1.0, 2 * p), verdict)


def _of_any(differences: Sequence[np.ndarray]) -> _Decision:
    """Return the decision where some mean must differ from 0; the surest is shown.

    Its interval is as wide as the number of differences asks for (Bonferroni).
    """
    tests = [paired_test(item, 1 - LEVEL / len(differences)) for item in differences]
    tested = [test for test in tests if np.isfinite(test.p)]
    if not tested:
        return _Decision(tests[0], np.nan, UNTOLD)
    surest = min(tested, key=lambda test: test.p)
    return _Decision(surest, min(1.0, len(tests) * surest.p), HOLDS)


def verdict_of(results: Sequence[PartResult]) -> str:
    """Return a finding's verdict: it holds where all parts do, and does not where one does not."""
    verdicts = {result.verdict for result in results}
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts == {HOLDS} else UNTOLD
