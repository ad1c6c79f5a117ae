"""The findings of some runs as text, for tests of what they say."""

import pandas as pd

from analysis.inference.intervals import intervals
from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.metrics.align import both_orders
from analysis.report.findings.all import findings
from analysis.report.findings.evidence import Finding


def findings_of(runs: pd.DataFrame) -> list[Finding]:
    """Return the findings of every context."""
    points = intervals(runs, co.point(runs))
    orders = both_orders(runs)
    by_context = findings(points, orders, Labels(orders.catalogue))
    return [finding for sentences in by_context.values() for finding in sentences]


def sentences_of(runs: pd.DataFrame) -> list[str]:
    """Return their sentences."""
    return [finding.text for finding in findings_of(runs)]


def sentence(runs: pd.DataFrame, lead: str) -> str:
    """Return the only sentence that begins like that."""
    (text,) = [text for text in sentences_of(runs) if text.startswith(lead)]
    return text
