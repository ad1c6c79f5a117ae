"""The findings of some runs as text, for tests of what they say."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.inference.intervals import intervals
from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.metrics.align import both_orders
from analysis.report.claims import with_claims
from analysis.report.findings.all import findings
from analysis.report.findings.evidence import Evidence, Finding, gather_evidence
from tests.analysis.synthetic import curve, frame, run

# what each of five batches of edits adds to a value
BATCHES = (0.011, -0.02, 0.004, -0.013, 0.018)


def replicated(
    intervention: str,
    partner: str,
    forward: dict[float, float],
    backward: dict[float, float],
    shifts: Sequence[float] = BATCHES,
    **columns: Any,
) -> list[dict[str, Any]]:
    """Both orders of a pair over five batches of edits, by level; the gain varies a little."""
    runs = []
    for batch, shift in enumerate(shifts):
        firsts = [value + shift for value in forward.values()]
        seconds = [value - shift / 3 for value in backward.values()]
        runs += curve(
            intervention, partner, forward, firsts, seconds, edit_batch=batch, **columns
        )  # fmt: skip
    return runs


def alone(name: str, value: float, criterion: str = "edit_success") -> list[dict[str, Any]]:
    """An intervention alone, over the same batches."""
    return [
        run(name, edit_batch=batch, **{criterion: value + shift / 2})
        for batch, shift in enumerate(BATCHES)
    ]


def evidence_of(runs: list[dict[str, Any]]) -> Evidence:
    """Return the evidence of the first context."""
    table = frame(runs)
    orders = both_orders(table)
    points = with_claims(intervals(table, co.point(table)), orders.catalogue, 0.95)
    context = points.context.iloc[0]
    in_context = points[points.context == context]
    return gather_evidence(in_context, orders, Labels(orders.catalogue), context, table)


def findings_of(runs: pd.DataFrame) -> list[Finding]:
    """Return the findings of every context."""
    orders = both_orders(runs)
    points = with_claims(intervals(runs, co.point(runs)), orders.catalogue, 0.95)
    by_context = findings(points, orders, Labels(orders.catalogue), runs)
    return [finding for sentences in by_context.values() for finding in sentences]


def sentences_of(runs: pd.DataFrame) -> list[str]:
    """Return their sentences."""
    return [finding.text for finding in findings_of(runs)]


def sentence(runs: pd.DataFrame, lead: str) -> str:
    """Return the only sentence that begins like that."""
    (text,) = [text for text in sentences_of(runs) if text.startswith(lead)]
    return text
