"""Findings on the method of a group that composes best, where a test says so of every rival."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis import labels
from analysis.inference.best import BestMethod, best_method
from analysis.inference.corrections import holm
from analysis.metrics.points import point
from analysis.report.findings.evidence import (
    LEVEL,
    Evidence,
    Finding,
    interval_in_words,
    p_in_words,
    runs_of,
)


def best_composers(evidence: Evidence) -> Iterator[Finding]:
    """Yield, for each group of methods, which beats every rival by order-free error, if one does.

    Methods are compared over what all of them were composed with, at levels that all have.
    """
    main = evidence.main_points()
    main = main[main.intervention_category == main.about]
    compared = []
    for (category, group), points in main.groupby(["about", "partner_group"], sort=False):
        # of the few runs that are compared: all are looked through for every group otherwise
        runs = evidence.runs[evidence.runs.run_id.isin(runs_of(points))]
        best = best_method(runs, point(runs, list(points.criterion.unique())))
        if best is not None:
            lead = f"{str(group).capitalize()} with {category}"
            compared.append((lead, points, best))
    corrected = holm(np.array([best.p for *_, best in compared], float))
    for (lead, points, best), p_holm in zip(compared, corrected, strict=True):
        criterion = evidence.titles.criterion(points.criterion.unique().item())
        over = f"over {labels.counted(best.cells, 'point')} that all methods have"
        intro = f"{lead}, order-free error on {criterion}, {over}"
        is_best = best.is_best and bool(p_holm <= LEVEL)
        statement = _best(best, p_holm, evidence) if is_best else _list(best, evidence)
        yield Finding(f"{intro}: {statement}.", runs_of(points), claim=is_best)


def _best(best: BestMethod, p_holm: float, evidence: Evidence) -> str:
    closest = best.rivals.iloc[0]
    return (
        f"{evidence.titles.method(best.method)} composes best, with {best.value:.2f}; the closest"
        f" rival, {evidence.titles.method(closest.method)}, is {closest.margin:.2f} worse"
        f" ({interval_in_words(closest.low, closest.high)}; {p_in_words(p_holm)}, Holm;"
        f" {best.units} units)"
    )


def _list(best: BestMethod, evidence: Evidence) -> str:
    """Return the means without a ranking: no test holds one method above every other."""
    means = [(best.method, best.value), *zip(best.rivals.method, best.rivals.value, strict=True)]
    texts = [f"{evidence.titles.method(method)} {value:.2f}" for method, value in means]
    return f"{', '.join(texts)}; no test holds one of them above every other"
