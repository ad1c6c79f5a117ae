"""Findings on the order of two interventions: where it matters, and which should come first.

A sentence says "differs" or "better" only of points whose ``differs`` is set: a test says so that
holds over all comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis import labels
from analysis.report.findings.evidence import (
    LEVEL,
    Evidence,
    Finding,
    gain_in_words,
    runs_of,
)

_TEST = f"by a test that holds over all of them (Holm, {LEVEL:.0%})"


def where_order_matters(evidence: Evidence) -> Iterator[Finding]:
    """Yield at how many points the order matters, and the largest of these differences."""
    points = evidence.points
    points = points[points.claimed & points.order_sensitivity.notna()]
    tested = points[points.p.notna()]
    if tested.empty:
        yield Finding(
            f"Whether the order matters cannot be told at any of"
            f" {labels.counted(len(points), 'comparison')}: one run of each order, or runs with"
            " equal weights, say nothing about another batch of edits or seed."
        )
        return
    count = labels.counted(len(tested), "comparison")
    differing = tested[tested.differs]
    if differing.empty:
        yield Finding(
            f"Of {count} none shows that the order matters, {_TEST}. That is no evidence that it"
            " does not: the table of comparisons has the intervals."
        )
        return
    in_unit = differing[differing.unit.isin(labels.SHARES)]
    shown = in_unit if len(in_unit) else differing
    largest = shown.loc[[shown.order_sensitivity.idxmax()]]
    yield Finding(
        f"The orders differ at {len(differing)} of {count}, {_TEST}. The largest measured of"
        f" these: {_difference(largest, evidence)}.",
        runs_of(largest),
        claim=True,
    )


def _difference(points: pd.DataFrame, evidence: Evidence) -> str:
    """Return in words what a single point's criterion is after either order, with the test."""
    titles, cell = evidence.titles, points.iloc[0]
    forward_order = titles.order(cell.intervention, cell.partner)
    backward_order = titles.order(cell.partner, cell.intervention)
    level = labels.level_text(cell.strength, cell.level)
    return (
        f"{titles.criterion(cell.criterion)} of {titles.method(cell.intervention)} and"
        f" {titles.method(cell.partner)}"
        + (f" at {level}" if level else "")
        + f", {labels.number(cell.forward)} after {forward_order},"
        f" {labels.number(cell.backward)} after {backward_order}, apart {gain_in_words(cell)}"
    )


def which_first(evidence: Evidence) -> Iterator[Finding]:
    """Yield, for each method and each category, which should come first, where a test says so."""
    for category, partner, criterion, points in evidence.points_by_method():
        method = evidence.titles.method(partner)
        measured = evidence.titles.criterion(criterion)
        lead = f"{method} and {category}: {measured}"
        differing = points[points.differs]
        if len(differing):
            yield _better_order(differing, len(points), lead, (category, method), evidence)


def _better_order(
    differing: pd.DataFrame,
    total: int,
    lead: str,
    sides: tuple[str, str],
    evidence: Evidence,
) -> Finding:
    """Return which side should come first at the points that differ; both where it depends.

    Args:
        differing: the points of one method and category whose orders differ.
        total: how many points there are.
        lead: what the sentence begins with.
        sides: what comes first in the forward and in the backward order.
        evidence: has the titles.
    """
    count = labels.counted(total, "point")
    parts = []
    for side, better in zip(sides, (differing.gain > 0, differing.gain < 0), strict=True):
        ahead = differing[better]
        if len(ahead):
            widest = ahead.iloc[int(ahead.gain.abs().to_numpy().argmax())]
            level = labels.level_text(widest.strength, widest.level)
            where = evidence.titles.method(widest.intervention) + (f" at {level}" if level else "")
            parts.append(
                f"better with {side} first at {len(ahead)} of {count} (most measured for {where},"
                f" {gain_in_words(widest)})"
            )
    depends = "depends: it is " if len(parts) > 1 else "is "
    return Finding(f"{lead} {depends}{', and '.join(parts)}.", runs_of(differing), claim=True)
