"""Findings on the order of two interventions: where it matters, and which should come first."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis import labels
from analysis.report.findings.evidence import NOTABLE, Evidence, Finding, runs_of

_SIDE = ["intervention_category", "partner", "criterion"]


def most_sensitive(evidence: Evidence) -> Iterator[Finding]:
    """Yield the pair whose outcome depends most on the order."""
    points = evidence.points
    points = points[points.unit.isin(labels.SHARES) & (points.better != "neither")]
    points = points[points.order_sensitivity.notna()]
    if points.empty or points.order_sensitivity.max() < NOTABLE:
        yield Finding(
            f"The order hardly matters: no criterion in [0, 1] differs by {NOTABLE:g} between two"
            " orders."
        )
        return
    titles = evidence.titles
    worst = points.loc[[points.order_sensitivity.idxmax()]]
    cell = worst.iloc[0]
    pair = f"{titles.method(cell.intervention)} and {titles.method(cell.partner)}"
    forward_order = titles.order(cell.intervention, cell.partner)
    backward_order = titles.order(cell.partner, cell.intervention)
    level = labels.level_text(cell.strength, cell.level)
    yield Finding(
        f"Order matters most for {titles.criterion(cell.criterion)} of {pair}"
        + (f" at {level}" if level else "")
        + f": {labels.number(cell.forward)} after {forward_order},"
        f" {labels.number(cell.backward)} after {backward_order}.",
        runs_of(worst),
    )


def which_first(evidence: Evidence) -> Iterator[Finding]:
    """Yield, for each method and each category, which should come first, over pairs and levels."""
    main = evidence.main_points()
    main = main.assign(place=main.partner.map(labels.place))
    main = main.sort_values(["intervention_category", "criterion", "place"], kind="stable")
    for (category, partner, criterion), points in main.groupby(_SIDE, sort=False):
        method = evidence.titles.method(str(partner))
        measured = evidence.titles.criterion(str(criterion))
        lead = f"{method} and {category}: {measured}"
        yield _better_order(points, lead, method, str(category))


def _better_order(points: pd.DataFrame, lead: str, method: str, category: str) -> Finding:
    """Return the order that is better at most of the points where the orders clearly differ."""
    clear = points[(points.gain.abs() >= NOTABLE) & ~_within_noise(points)]
    total = len(points)
    if clear.empty:
        count = labels.counted(total, "point")
        return Finding(
            f"{lead} differs clearly between the orders at none of {count}.", runs_of(points)
        )
    forward_better = int((clear.gain > 0).sum())
    backward_better = len(clear) - forward_better
    if forward_better == backward_better:
        return Finding(
            f"{lead} is better either way as often ({len(clear)} of {total} points differ).",
            runs_of(clear),
        )
    first = category if forward_better > backward_better else method
    gain = abs(float(clear.gain.mean()))
    return Finding(
        f"{lead} is better with {first} first at {max(forward_better, backward_better)} of the"
        f" {labels.counted(len(clear), 'point')} where the orders clearly differ (of {total}),"
        f" by {gain:.2f} on average over these.",
        runs_of(clear),
    )


def _within_noise(points: pd.DataFrame) -> pd.Series:
    """Return whether the interval of the gain includes 0; False where there is no interval."""
    return (points.gain_low <= 0) & (points.gain_high >= 0)
