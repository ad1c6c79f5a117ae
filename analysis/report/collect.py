"""Compute everything that an analysis writes."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import labels
from analysis.inference.intervals import intervals
from analysis.inference.recommend import recommend_from_points
from analysis.inference.samples import MANY, collect_samples
from analysis.inference.ties import tied
from analysis.metrics import composability as co
from analysis.metrics.columns import VARIANT
from analysis.metrics.levels import chosen_levels
from analysis.metrics.measures import complete
from analysis.plots import curves, heat
from analysis.plots.panels import PanelGrid
from analysis.report.findings.all import findings
from analysis.report.findings.evidence import Finding, runs_of
from analysis.report.prepare import PreparedAnalysis
from analysis.tables.appendix import appendix_tables
from analysis.tables.composed import composed_tables
from analysis.tables.table import Table
from tracking import query

_MOST_ITEM_FILES = 2000  # one per run; more are read only where "all" was requested


@dataclass(frozen=True)
class Collected:
    """Everything that an analysis computes.

    Attributes:
        points: with intervals.
        areas: over the levels.
        wins: per method, by level and by area.
        order: the order to choose, a row per pair and setting.
        tables: the paper's.
        grids: figures of curves.
        heats: matrices of order sensitivity.
        findings: context to sentences.
    """

    points: pd.DataFrame
    areas: pd.DataFrame
    wins: pd.DataFrame
    order: pd.DataFrame
    tables: list[Table]
    grids: list[PanelGrid]
    heats: list[heat.Heat]
    findings: dict[str, list[Finding]]


def read_items(prepared: PreparedAnalysis) -> pd.DataFrame | None:
    """Read the scores of items that intervals are over; None where there are none.

    With "auto" these are the items of the runs whose points have few replicates.
    """
    mode = prepared.request.items
    if mode == "none":
        return None
    points = prepared.points
    if mode == "auto":
        points = points[points.replicates < MANY]
    runs = prepared.orders.runs
    runs = runs[runs.run_id.isin(runs_of(points))]
    if "published" in runs:
        runs = runs[runs.published.isna()]  # the paper prints no items
    if mode == "auto" and len(runs) > _MOST_ITEM_FILES:
        return None
    return query.items(runs, prepared.criteria, missing="skip") if len(runs) else None


def collect(prepared: PreparedAnalysis, items: pd.DataFrame | None) -> Collected:
    """Compute everything that is written.

    Args:
        prepared: the checked request, with the runs.
        items: rows of ``tracking.query.items``, for intervals over items.
    """
    request, orders, titles = prepared.request, prepared.orders, prepared.titles
    points = intervals(prepared.runs, prepared.points, items, error=request.error)
    points["within_bounds"] = points.point.isin(prepared.inside)
    areas = prepared.shown(co.area(points, request.bounds))
    points = prepared.shown(points)
    inside = points[points.within_bounds].reset_index(drop=True)
    is_tied = _tied(prepared, inside, items)
    by_level = co.wins(co.cells(inside), is_tied).assign(over="level")
    by_area = co.wins(co.cells(areas.assign(level=float("nan")))).assign(over="area")
    return Collected(
        points=points,
        areas=areas,
        wins=pd.concat([by_level, by_area], ignore_index=True),
        order=_recommended(prepared, inside, items),
        tables=_tables(prepared, points, inside, items),
        grids=curves.grids(orders, points),
        heats=heat.heats(inside, areas, titles),
        findings=findings(inside, orders, titles),
    )


def _recommended(
    prepared: PreparedAnalysis, points: pd.DataFrame, items: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the order to choose, a row per pair and setting, the largest gain first."""
    pairs = points[complete(points)].reset_index(drop=True)
    pair_samples = collect_samples(prepared.runs, pairs, items)
    key = ["intervention", "partner", *VARIANT]
    rows = []
    for _, group in pairs.groupby(key, sort=False):
        # `recommend_from_points` numbers the rows of a group from 0.
        group_samples = {
            position: pair_samples[row]
            for position, row in enumerate(group.index)
            if row in pair_samples
        }
        group = group.reset_index(drop=True)
        advice = recommend_from_points(group, prepared.titles, group_samples)
        row = {name: group[name].iloc[0] for name in key} | {
            "order": labels.ARROW.join(advice.order),
            "score": advice.score,
            "low": advice.low,
            "high": advice.high,
            "sure": advice.sure,
            "levels": group.level.nunique(),
            "resampled": advice.resampled,
            "words": advice.words,
            "runs": runs_of(group),
        }
        rows.append(row)
    by_context = ["context", "score"]
    return pd.DataFrame(rows).sort_values(by_context, ascending=[True, False], ignore_index=True)


def _tables(
    prepared: PreparedAnalysis,
    points: pd.DataFrame,
    inside: pd.DataFrame,
    items: pd.DataFrame | None,
) -> list[Table]:
    """Return Tables 2 to 4, at one level of each strength, and 8 to 14."""
    tables = appendix_tables(prepared.orders, points)
    for _, in_context in inside.groupby("context", sort=False):
        levels = chosen_levels(in_context, prepared.orders.catalogue, prepared.request.levels)
        chosen_level = in_context.strength.map(labels.strength_of).map(levels)
        is_shown = (in_context.strength == "") | (in_context.level == chosen_level)
        shown = in_context[is_shown].reset_index(drop=True)
        tables += composed_tables(shown, prepared.titles, _tied(prepared, shown, items))
    return sorted(tables, key=lambda table: (table.number, table.context))


def _tied(
    prepared: PreparedAnalysis, points: pd.DataFrame, items: pd.DataFrame | None
) -> pd.Series:
    """Return for each duel of the points whether the difference is within its interval."""
    cells = co.cells(points)
    duels, error = co.duels(cells), prepared.request.error
    return tied(prepared.runs, points, cells, duels, items, error=error)
