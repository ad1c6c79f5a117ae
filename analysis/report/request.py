"""What to analyse, checked against what is there before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.metrics.align import Orders, both_orders
from analysis.metrics.bounds import known
from analysis.metrics.points import Error
from interventions.errors import InvalidInput
from tracking import query

ITEMS = ("auto", "all", "none")


@dataclass(frozen=True)
class AnalysisRequest:
    """What to analyse; empty means all, or the default."""

    experiments: tuple[str, ...]
    criteria: tuple[str, ...] = ()
    levels: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    error: Error = "best"
    items: str = "auto"
    ui: str = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class PreparedAnalysis:
    """Checked input: the runs, their orders, all points; which criteria are shown, which points are in bounds."""

    request: AnalysisRequest
    runs: pd.DataFrame
    orders: Orders
    points: pd.DataFrame
    criteria: list[str]
    inside: pd.Series

    @property
    def titles(self) -> Labels:
        """For rows, columns and sentences."""
        return Labels(self.orders.catalogue)

    def shown(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of the criteria that were asked for."""
        return frame[frame.criterion.isin(self.criteria)].reset_index(drop=True)


def prepare(request: AnalysisRequest) -> PreparedAnalysis:
    """Read the runs and check everything that was asked for.

    Raises:
        InvalidInput: one line that says what is wrong and what is there.
    """
    return prepared_from(request, query.compositions(request.experiments))


def prepared_from(request: AnalysisRequest, runs: pd.DataFrame) -> PreparedAnalysis:
    """Check what was asked for against runs that were read; raises InvalidInput."""
    if request.items not in ITEMS:
        raise InvalidInput(f"items must be {' or '.join(ITEMS)}, but got {request.items!r}")
    try:
        orders = both_orders(runs)
        if request.levels:
            co.point(runs, levels=request.levels)
        points = co.point(runs, error=request.error)
        criteria = [known(name, orders.criteria) for name in request.criteria or orders.criteria]
        inside = co.within(points, request.bounds).point.drop_duplicates()
        if inside.empty:
            raise InvalidInput(f"no level is within the bounds; {_ranges(points, request.bounds)}")
    except InvalidInput as error:
        raise InvalidInput(f"experiment {', '.join(request.experiments)}: {error}") from error
    return PreparedAnalysis(request, runs, orders, points, criteria, inside)


def _ranges(points: pd.DataFrame, names: Iterable[str]) -> str:
    """Where the criteria lie, in words."""
    of = {name: points.loc[points.criterion == name, ["forward", "backward"]] for name in names}
    return ", ".join(
        f"{name} lies in {v.min().min():g} to {v.max().max():g}" for name, v in of.items()
    )
