"""All findings of some runs, context by context."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from analysis import labels
from analysis.labels import Labels
from analysis.metrics.align import Orders
from analysis.report.findings.ability import destroyed, hidden_by_general_ability
from analysis.report.findings.evidence import Evidence, Finding, gather_evidence
from analysis.report.findings.loss import degraded
from analysis.report.findings.order import where_order_matters, which_first
from analysis.report.findings.printed import (
    PRINTED,
    printed_differences,
    printed_errors,
    printed_first,
)
from analysis.report.findings.rivals import best_composers
from analysis.report.findings.size import unequal_sizes

_Finders = tuple[Callable[[Evidence], Iterator[Finding]], ...]
_TESTED: _Finders = (
    where_order_matters,
    which_first,
    unequal_sizes,
    best_composers,
    degraded,
    hidden_by_general_ability,
    destroyed,
)
_PRINTED: _Finders = (
    printed_differences,
    printed_first,
    unequal_sizes,
    printed_errors,
    destroyed,
)


def findings(
    points: pd.DataFrame, orders: Orders, titles: Labels, runs: pd.DataFrame
) -> dict[str, list[Finding]]:
    """Return the findings of each context, the most useful first.

    Args:
        points: rows of ``analysis.report.claims.with_claims``.
        orders: of the runs.
        titles: for sentences.
        runs: rows of ``tracking.query.compositions`` that the points were computed from.
    """
    by_context = {}
    for context in dict.fromkeys(points.context):
        evidence = gather_evidence(points[points.context == context], orders, titles, context, runs)
        finders = _PRINTED if evidence.printed else _TESTED
        sentences = [finding for find in finders for finding in find(evidence)]
        by_context[context] = [_scope(evidence), *sentences]
    return by_context


def _scope(evidence: Evidence) -> Finding:
    """Return how many pairs, interventions, points and replicates the findings are of."""
    points = evidence.points
    pairs = points.drop_duplicates(["intervention", "partner"])
    methods = set(pairs.intervention) | set(pairs.partner)
    once = points.drop_duplicates("point")
    replicates = int(once.replicates.max())
    pairs_in_words = labels.counted(len(pairs), "pair")
    methods_in_words = labels.counted(len(methods), "intervention")
    points_in_words = labels.counted(len(once), "point")
    runs_in_words = "one run of each order: this batch of edits and this seed only"
    if evidence.printed:
        runs_in_words = PRINTED
    elif replicates > 1:
        runs_in_words = f"up to {replicates} edit batches and seeds each"
    return Finding(
        f"{pairs_in_words} of {methods_in_words}, {points_in_words} (pair and level),"
        f" {runs_in_words}."
    )
