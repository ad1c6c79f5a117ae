"""Check a request against the recorded runs, before anything expensive is computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.metrics.align import Orders, both_orders
from analysis.metrics.bounds import check_criterion
from analysis.report.request import AnalysisRequest
from interventions.errors import InvalidInput
from tracking import query
from tracking.markup import web_address

ITEMS = ("auto", "all", "none")


@dataclass(frozen=True)
class PreparedAnalysis:
    """A checked request, with the runs that it is about.

    Attributes:
        request: as it was made.
        runs: rows of ``tracking.query.compositions``.
        orders: the runs, aligned.
        points: of all criteria and levels.
        criteria: names of those that are shown.
        inside: numbers of the points within the bounds.
    """

    request: AnalysisRequest
    runs: pd.DataFrame
    orders: Orders
    points: pd.DataFrame
    criteria: list[str]
    inside: pd.Series

    @property
    def titles(self) -> Labels:
        """Titles for rows, columns and sentences."""
        return Labels(self.orders.catalogue)

    def shown(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the requested criteria."""
        return frame[frame.criterion.isin(self.criteria)].reset_index(drop=True)


def prepare_analysis(request: AnalysisRequest) -> PreparedAnalysis:
    """Read the runs of a request and check it against them.

    Raises:
        InvalidInput: one line that says what is wrong, and what the experiments have.
    """
    return check_against_runs(request, query.compositions(request.experiments))


def check_against_runs(request: AnalysisRequest, runs: pd.DataFrame) -> PreparedAnalysis:
    """Check a request against runs that were read already.

    Args:
        request: what to analyse.
        runs: rows of ``tracking.query.compositions``, newest first.

    Raises:
        InvalidInput: one line that says what is wrong, and what the runs have.
    """
    web_address("ui", request.ui)
    if request.items not in ITEMS:
        raise InvalidInput(f"items must be {' or '.join(ITEMS)}, but got {request.items!r}")
    try:
        orders = both_orders(runs)
        if request.levels:
            co.point(runs, levels=request.levels)
        points = co.point(runs, error=request.error)
        names = request.criteria or orders.criteria
        criteria = [check_criterion(name, orders.criteria) for name in names]
        inside = co.within(points, request.bounds).point.drop_duplicates()
        if inside.empty:
            raise InvalidInput(f"no level is within the bounds; {_ranges(points, request.bounds)}")
    except InvalidInput as error:
        raise InvalidInput(f"experiment {', '.join(request.experiments)}: {error}") from error
    return PreparedAnalysis(request, runs, orders, points, criteria, inside)


def _ranges(points: pd.DataFrame, criteria: Iterable[str]) -> str:
    """Return in words from where to where the criteria lie."""
    sentences = []
    for criterion in criteria:
        values = points.loc[points.criterion == criterion, ["forward", "backward"]]
        lowest, highest = values.min().min(), values.max().max()
        sentences.append(f"{criterion} lies in {lowest:g} to {highest:g}")
    return ", ".join(sentences)
