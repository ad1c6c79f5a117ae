"""Findings on what is lost even in the better order, and which method loses least."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis import labels
from analysis.report.findings.evidence import NOTABLE, Evidence, Finding, runs_of

_METHOD = ["intervention", "intervention_variant"]


def best_composers(evidence: Evidence) -> Iterator[Finding]:
    """Yield, for each group of methods, which costs a category least by order-free error."""
    main = evidence.main_points()
    main = main[main.intervention_category == main.about]
    for (category, group), points in main.groupby(["about", "partner_group"], sort=False):
        errors = points.pivot_table(
            index=[*_METHOD, "level"],
            columns="partner",
            values="order_free_error",
            dropna=False,
        )
        # Methods are compared over what all of them were composed with, at levels that all have.
        errors = errors.dropna()
        means = errors.mean().sort_values()
        if len(means) < 2 or errors.empty:
            continue
        best, worst = str(means.index[0]), str(means.index[-1])
        run_ids = runs_of(points[points.partner.isin([best, worst])])
        measured = evidence.titles.criterion(points.criterion.iloc[0])
        count = labels.counted(len(errors), "point")
        lead = f"{str(group).capitalize()} with {category}, over {count} that all methods have"
        if means.iloc[-1] - means.iloc[0] < NOTABLE / 10:
            yield Finding(f"{lead}: all compose alike on {measured}.", run_ids)
            continue
        yield Finding(
            f"{lead}: {evidence.titles.method(best)} composes best, with a mean order-free error of"
            f" {means.iloc[0]:.2f} on {measured}; {evidence.titles.method(worst)} worst, with"
            f" {means.iloc[-1]:.2f}.",
            run_ids,
        )


def degraded(evidence: Evidence) -> Iterator[Finding]:
    """Yield what compression costs another intervention, in the better order, against it alone."""
    alone = evidence.orders.alone
    alone = alone[alone.context == evidence.context]
    main = evidence.main_points()
    compressed = main[main.partner_category == "compression"]
    for category, points in compressed.groupby("about", sort=False):
        criterion = points.criterion.iloc[0]
        lost = _lost(points, alone, criterion)
        lost = lost[np.isfinite(lost)]
        if not len(lost):
            continue
        mean = float(lost.mean())
        single_runs = tuple(alone[alone.intervention.isin(points.intervention)].run_id)
        yield Finding(
            f"Compression and {category}: even in the better order"
            f" {evidence.titles.criterion(criterion)} is at least {NOTABLE:g} worse than without"
            f" compression at {int((lost >= NOTABLE).sum())} of {len(lost)} points; on average it"
            f" is {abs(mean):.2f} {'worse' if mean > 0 else 'better'}.",
            single_runs + runs_of(points),
        )


def _lost(points: pd.DataFrame, alone: pd.DataFrame, criterion: str) -> np.ndarray:
    """Return how much worse each point is than its intervention alone, in the better order."""
    single_values = alone.groupby(_METHOD)[criterion].mean()
    base = single_values.reindex(pd.MultiIndex.from_frame(points[_METHOD])).to_numpy()
    values = points[["forward", "backward"]]
    return np.where(points.better == "higher", base - values.max(axis=1), values.min(axis=1) - base)
