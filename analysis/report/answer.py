"""The report's first table: of each pair, whether it composes, in which order, and how sure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.inference.recommendation import BOUNDS, EQUAL, NEITHER, PRINTED, Recommendation
from analysis.labels import Labels
from analysis.metrics.columns import VARIANT
from analysis.report.findings.evidence import LEVEL, interval_in_words, p_in_words, runs_of
from analysis.report.findings.losses import KEEPS, LOSES

PAIR = ["intervention", "partner", *VARIANT]
_UNTOLD = "cannot be told"


@dataclass(frozen=True)
class PairTest:
    """What the tests of a pair's orders say, corrected for all pairs.

    Attributes:
        factor: by which the pair's own corrected p values are multiplied.
        p: of "neither order is better, at any level", over all pairs; NaN where nothing is tested.
    """

    factor: float = 1.0
    p: float = math.nan

    def corrected(self, p_holm: float) -> float:
        """Return a p value that is corrected within the pair, corrected for all pairs too."""
        return float(min(1.0, max(self.p, p_holm * self.factor)))

    def allows(self, p_holm: float) -> bool:
        """Return whether a claim may be made of a test of the pair."""
        return self.corrected(p_holm) <= LEVEL


@dataclass(frozen=True)
class PairAnswer:
    """One pair's row.

    Attributes:
        pair: its name, with the context where there are several.
        compose: whether it composes, in words.
        order: which order to choose, in words.
        sure: how sure that is, in words.
        claim: whether the order is a claim that a test supports.
        runs: ids behind it.
    """

    pair: str
    compose: str
    order: str
    sure: str
    claim: bool
    runs: tuple[str, ...] = field(default=(), repr=False)


def pair_tests(advice: Iterable[Recommendation]) -> list[PairTest]:
    """Return the tests of all pairs, corrected for how many there are (Holm).

    A pair's smallest p value is corrected within the pair already.

    Args:
        advice: of each pair.
    """
    smallest = np.array([_smallest_p(one) for one in advice])
    tests = [PairTest() for _ in smallest]
    tested = np.flatnonzero(~np.isnan(smallest))
    highest = 0.0
    for rank, position in enumerate(tested[np.argsort(smallest[tested], kind="stable")]):
        factor = float(len(tested) - rank)
        highest = max(highest, min(1.0, factor * smallest[position]))
        tests[position] = PairTest(factor, highest)
    return tests


def _smallest_p(advice: Recommendation) -> float:
    values = [advice.p_holm, *advice.levels.p_holm] if len(advice.levels) else [advice.p_holm]
    known = [value for value in values if not math.isnan(value)]
    return min(known, default=math.nan)


def pair_answers(
    advice: Sequence[tuple[pd.DataFrame, Recommendation]], lost: pd.DataFrame, titles: Labels
) -> list[PairAnswer]:
    """Return a row per pair and setting, those with a claim first.

    Args:
        advice: of ``analysis.inference.recommend.advise``: points and recommendation of each pair.
        lost: rows of ``losses`` of all contexts.
        titles: for words.
    """
    several = len({points.context.unique().item() for points, _ in advice}) > 1
    tests = pair_tests([one for _, one in advice])
    answers = []
    for (points, one), test in zip(advice, tests, strict=True):
        first = points.iloc[0]
        of_pair = lost
        for name in PAIR if len(lost) else ():
            of_pair = of_pair[of_pair[name] == first[name]]
        order, claim = _order(one, test, titles)
        answers.append(
            PairAnswer(
                pair=_pair_title(first, several, titles),
                compose=_compose(of_pair, one.verdict == PRINTED, titles),
                order=order,
                sure=_sure(one, test),
                claim=claim,
                runs=runs_of(points),
            )
        )
    return sorted(answers, key=lambda answer: not answer.claim)


def _pair_title(pair: Any, several: bool, titles: Labels) -> str:
    names = [titles.method(pair[side], pair[f"{side}_variant"]) for side in PAIR[:2]]
    return " + ".join(names) + (f"; {pair.context}" if several else "")


def _compose(lost: pd.DataFrame, is_printed: bool, titles: Labels) -> str:
    """Return whether the better order keeps what the judged intervention does alone."""
    if lost.empty:
        return f"{_UNTOLD}: not run alone, or judged by nothing"
    if is_printed:
        low, high = lost.loss.min(), lost.loss.max()
        return f"as printed, {interval_in_words(low, high)} lost against alone"
    parts: list[str] = []
    for criterion, of_criterion in lost.groupby("criterion", sort=False):
        parts += _compose_by_verdict(of_criterion, titles.criterion(str(criterion)))
    return "; ".join(parts)


def _compose_by_verdict(lost: pd.DataFrame, criterion: str) -> Iterable[str]:
    """Yield what is said of one criterion of a pair, a part per verdict."""
    for verdict, rows in lost.groupby("verdict", sort=False):
        where = _at_levels(rows)
        if verdict == KEEPS:
            yield f"yes{where}: {criterion} within 0.05 of alone"
        elif verdict == LOSES:
            worst = rows.iloc[int(rows.loss.to_numpy().argmax())]
            interval = interval_in_words(worst.low, worst.high)
            yield f"no{where}: {criterion} loses up to {worst.loss:.2f} ({interval})"
        else:
            yield f"{_UNTOLD}{where} ({criterion})"


def _at_levels(points: pd.DataFrame) -> str:
    """Return `` at sparsity 0.25, 0.5``; "" where there are no levels."""
    levels = sorted(points.level.dropna().unique())
    text = labels.levels_text(points.strength.iloc[0], levels) if levels else ""
    return f" at {text}" if text else ""


def _order(advice: Recommendation, test: PairTest, titles: Labels) -> tuple[str, bool]:
    """Return which order to choose, and whether a test over all pairs says so."""
    order = titles.order(*advice.order)
    if advice.verdict == PRINTED:
        return f"as printed, {order} is ahead", False
    if advice.verdict in (BOUNDS, NEITHER):
        return "no level has both orders within the bounds", False
    if advice.verdict == EQUAL:
        return "equal numbers", False
    claims = []
    if advice.differs and test.allows(advice.p_holm):
        claims.append(order)
    levels = advice.levels
    rows: Iterable[Any] = levels.itertuples()
    allowed = levels[[bool(row.differs) and test.allows(row.p_holm) for row in rows]]
    if not claims or set(allowed.order) - {labels.ARROW.join(advice.order)}:
        for name, at_levels in allowed.groupby("order", sort=False):
            claims.append(titles.order(*str(name).split(labels.ARROW)) + _at_levels(at_levels))
    return ("; ".join(claims), True) if claims else (_UNTOLD, False)


def _sure(advice: Recommendation, test: PairTest) -> str:
    """Return the score with its interval, the corrected p, the units, and what is missing."""
    if advice.verdict == PRINTED:
        return "not tested: one printed number for each order"
    parts = []
    if math.isfinite(advice.score):
        interval = interval_in_words(advice.low, advice.high)
        parts.append(f"score {labels.number(advice.score, 3)} ({interval})")
    if not math.isnan(test.p):
        parts.append(f"{p_in_words(test.p)} over all pairs")
    parts.append(f"{advice.units} {advice.kind}" if advice.units > 1 else "one run of each order")
    if advice.needed and advice.needed > advice.units:
        count = f"{advice.needed:.0f}" if math.isfinite(advice.needed) else "no number"
        parts.append(f"{count} would show a gain of 0.05 in 8 of 10 cases")
    return "; ".join(parts)
