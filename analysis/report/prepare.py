"""Check a request against the recorded runs, before anything expensive is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from analysis import labels
from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.metrics.align import Orders, both_orders
from analysis.metrics.bounds import check_criterion
from analysis.report.request import AnalysisRequest
from interventions.errors import InvalidInput
from tracking import query, schema, store
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
        left_out: sentences on runs of studies and on levels that are not used.
    """

    request: AnalysisRequest
    runs: pd.DataFrame
    orders: Orders
    points: pd.DataFrame
    criteria: list[str]
    inside: pd.Series
    left_out: tuple[str, ...] = ()

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
    runs = query.compositions(request.experiments)
    if request.studies or not len(runs):
        return check_against_runs(request, runs)
    of_studies = runs.run_id.isin(_study_runs(runs))
    count = labels.counted(int(of_studies.sum()), "run")
    if of_studies.all():
        names = ", ".join(request.experiments)
        raise InvalidInput(
            f"experiment {names}: all of its {count} are of studies; studies=true analyses them"
        )
    prepared = check_against_runs(request, runs[~of_studies].reset_index(drop=True))
    if not of_studies.any():
        return prepared
    note = f"{count} of studies (trials, and their final tests): studies=true analyses them, too"
    return replace(prepared, left_out=(note, *prepared.left_out))


def _study_runs(runs: pd.DataFrame) -> set[str]:
    """Return the ids of the runs that studies made; the store is asked for these alone."""
    client = store.client()
    experiment_ids = runs.experiment_id.unique().tolist()
    made_by_studies = query.all_runs(client, experiment_ids, f"tags.`{schema.TRIAL}` LIKE '%'")
    return {run.info.run_id for run in made_by_studies}


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
        points = co.point(runs, error=request.error)
        levels, left_out = _levels_that_apply(request.levels, points)
        if levels:
            co.point(runs, levels=levels)
        names = request.criteria or orders.criteria
        criteria = [check_criterion(name, orders.criteria) for name in names]
        inside = co.within(points, request.bounds).point.drop_duplicates()
        if inside.empty:
            raise InvalidInput(f"no level is within the bounds; {_ranges(points, request.bounds)}")
    except InvalidInput as error:
        raise InvalidInput(f"experiment {', '.join(request.experiments)}: {error}") from error
    request = replace(request, levels=levels)
    return PreparedAnalysis(request, runs, orders, points, criteria, inside, left_out)


def _levels_that_apply(
    levels: Mapping[str, float], points: pd.DataFrame
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the levels of strengths that some pair has, and a sentence on each other one.

    Where no pair has any of them, all are returned: they are refused then.
    """
    strengths = set(points.strength.map(labels.strength_of))
    applying = {name: level for name, level in levels.items() if name in strengths}
    if not applying:
        return dict(levels), ()
    skipped = [name for name in levels if name not in applying]
    return applying, tuple(
        f"level {name}={levels[name]:g}: no pair has a strength of this name" for name in skipped
    )


def _ranges(points: pd.DataFrame, criteria: Iterable[str]) -> str:
    """Return in words from where to where the criteria lie."""
    sentences = []
    for criterion in criteria:
        values = points.loc[points.criterion == criterion, ["forward", "backward"]]
        lowest, highest = values.min().min(), values.max().max()
        sentences.append(f"{criterion} lies in {lowest:g} to {highest:g}")
    return ", ".join(sentences)
