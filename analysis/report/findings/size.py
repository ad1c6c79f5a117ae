"""Findings on the size that two orders of compressions lead to."""

from __future__ import annotations

from collections.abc import Iterator

from analysis import labels
from analysis.metrics.measures import complete
from analysis.report.findings.evidence import Evidence, Finding, runs_of

_BITS, _COMPRESSION = "bits per weight", "compression"
_EQUAL = 0.01  # relative difference in bits that counts as none


def unequal_sizes(evidence: Evidence) -> Iterator[Finding]:
    """Yield, for each pair of compressions, where its orders end at different bits.

    Pruning what rounding made zero removes nothing: one order is then smaller than the other, and
    a difference in another criterion is no answer to which order is better.
    """
    points = evidence.points[complete(evidence.points)]
    categories = points[["intervention_category", "partner_category"]]
    points = points[(points.unit == _BITS) & (categories == _COMPRESSION).all(axis=1)]
    for (first, second), sized in points.groupby(["intervention", "partner"], sort=False):
        gap = (sized.forward - sized.backward).abs()
        unequal = sized[gap > _EQUAL * sized[["forward", "backward"]].max(axis=1)]
        if unequal.empty:
            continue
        widest = unequal.loc[[gap[unequal.index].idxmax()]].iloc[0]
        forward, backward = (
            evidence.titles.order(str(before), str(after))
            for before, after in ((first, second), (second, first))
        )
        level = labels.level_text(widest.strength, widest.level)
        yield Finding(
            f"The orders of {evidence.titles.method(str(first))} and"
            f" {evidence.titles.method(str(second))} end at different"
            f" {evidence.titles.criterion(str(widest.criterion))} at"
            f" {len(unequal)} of {labels.counted(len(sized), 'point')}"
            + (f" (most at {level}: " if level else " (")
            + f"{labels.number(widest.forward)} after {forward},"
            f" {labels.number(widest.backward)} after {backward}): there, other differences between"
            " the orders are not between models of one size.",
            runs_of(unequal),
        )
