"""Findings on the rows that the paper prints: descriptions of numbers, as nothing is tested.

The paper prints one number for each order, a mean without its spread.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis import labels
from analysis.report.findings.evidence import NOTABLE, Evidence, Finding, runs_of

PRINTED = (
    "as the first version of the paper prints them (311 rows; the later version counts 417):"
    " one number for each order, without its spread, so that nothing here is tested"
)


def printed_differences(evidence: Evidence) -> Iterator[Finding]:
    """Yield the pair whose printed numbers are farthest apart between the orders."""
    points = evidence.points
    points = points[points.unit.isin(labels.SHARES) & (points.better != "neither")]
    points = points[points.order_sensitivity.notna()]
    if points.empty:
        return
    widest = points.loc[[points.order_sensitivity.idxmax()]]
    titles, cell = evidence.titles, widest.iloc[0]
    level = labels.level_text(cell.strength, cell.level)
    yield Finding(
        f"As printed, the numbers of the two orders are farthest apart for"
        f" {titles.criterion(cell.criterion)} of {titles.method(cell.intervention)} and"
        f" {titles.method(cell.partner)}"
        + (f" at {level}" if level else "")
        + f": {labels.number(cell.forward)} after"
        f" {titles.order(cell.intervention, cell.partner)}, {labels.number(cell.backward)} after"
        f" {titles.order(cell.partner, cell.intervention)}.",
        runs_of(widest),
    )


def printed_first(evidence: Evidence) -> Iterator[Finding]:
    """Yield, for each method and category, which order has the better printed numbers."""
    for category, partner, criterion, points in evidence.points_by_method():
        method = evidence.titles.method(partner)
        lead = f"{method} and {category}, as printed: {evidence.titles.criterion(criterion)}"
        yield _printed_order(points, lead, method, category)


def _printed_order(points: pd.DataFrame, lead: str, method: str, category: str) -> Finding:
    apart = points[points.gain.abs() >= NOTABLE]
    total = labels.counted(len(points), "point")
    if apart.empty:
        return Finding(
            f"{lead} is nowhere {NOTABLE:g} or more apart between the orders, at {total}.",
            runs_of(points),
        )
    forward_ahead = int((apart.gain > 0).sum())
    backward_ahead = len(apart) - forward_ahead
    distance = abs(float(apart.gain.mean()))
    where = f"the {labels.counted(len(apart), 'point')} that are {NOTABLE:g} or more apart"
    if forward_ahead == backward_ahead:
        return Finding(
            f"{lead} favours either order as often, at {where} (of {len(points)}).", runs_of(apart)
        )
    first = category if forward_ahead > backward_ahead else method
    return Finding(
        f"{lead} favours {first} first at {max(forward_ahead, backward_ahead)} of {where} (of"
        f" {len(points)}), by {distance:.2f} on average over these.",
        runs_of(apart),
    )


def printed_errors(evidence: Evidence) -> Iterator[Finding]:
    """Yield, for each group of methods, the lowest and the highest mean order-free error."""
    main = evidence.main_points()
    main = main[main.intervention_category == main.about]
    for (category, group), points in main.groupby(["about", "partner_group"], sort=False):
        errors = points.pivot_table(
            index=["intervention", "intervention_variant", "level"],
            columns="partner",
            values="order_free_error",
            dropna=False,
        )
        # methods are compared over what all of them were composed with, at levels that all have
        errors = errors.dropna()
        means = errors.mean().sort_values()
        if len(means) < 2 or errors.empty:
            continue
        lowest, highest = str(means.index[0]), str(means.index[-1])
        titles = evidence.titles
        yield Finding(
            f"{str(group).capitalize()} with {category}, as printed, over"
            f" {labels.counted(len(errors), 'point')} that all methods have: the mean order-free"
            f" error on {titles.criterion(points.criterion.unique().item())} is lowest for"
            f" {titles.method(lowest)} ({means.iloc[0]:.2f}) and highest for"
            f" {titles.method(highest)} ({means.iloc[-1]:.2f}).",
            runs_of(points[points.partner.isin([lowest, highest])]),
        )
