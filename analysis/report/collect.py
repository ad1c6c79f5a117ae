"""Compute everything that an analysis writes."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import labels
from analysis.inference.area_intervals import area_intervals
from analysis.inference.confidence import CONFIDENCE
from analysis.inference.intervals import intervals
from analysis.inference.recommend import advise
from analysis.inference.recommendation import Recommendation
from analysis.inference.ties import tied
from analysis.metrics import composability as co
from analysis.metrics.columns import CURVE
from analysis.metrics.comparable_areas import comparable_areas
from analysis.metrics.levels import chosen_levels
from analysis.metrics.restored import restored
from analysis.plots import curves, heat
from analysis.plots.fronts import FrontGrid, front_grids
from analysis.plots.panels import PanelGrid
from analysis.report.answer import PAIR, PairAnswer, PairTest, pair_answers, pair_tests
from analysis.report.claims import claimed_criteria, with_claims
from analysis.report.findings.all import findings
from analysis.report.findings.evidence import Finding, gather_evidence, runs_of
from analysis.report.findings.losses import measured_losses
from analysis.report.item_changes import count_changes, item_changes, read_step_scores
from analysis.report.merges import requested_merges
from analysis.report.prepare import PreparedAnalysis
from analysis.report.sequences import SequenceTest, sequence_tests
from analysis.tables.appendix import appendix_tables
from analysis.tables.composed import composed_tables
from analysis.tables.table import Table
from interventions.errors import InvalidInput
from tracking import query

MOST_ITEM_RUNS = 200  # one file per run; more are read only where "all" was requested


@dataclass(frozen=True)
class Collected:
    """Everything that an analysis computes.

    Attributes:
        points: with intervals.
        areas: over the levels.
        wins: per method, by level and by area.
        answers: what the report opens with, a row per pair and setting.
        order: the order to choose, a row per pair and setting.
        lost: what composing costs against an intervention alone, a row per point.
        advice: the points and the recommendation of each pair and setting.
        tables: the paper's.
        grids: figures of curves.
        heats: matrices of order sensitivity.
        fronts: size against quality.
        sequences: tests of three and more interventions.
        findings: context to sentences.
        items_read: of how many runs the scores of items were read.
        restored: what later steps bring back of what was unlearned; None where no run tells.
        merges: of a pair's interventions, beside both orders; None where none has run.
    """

    points: pd.DataFrame
    areas: pd.DataFrame
    wins: pd.DataFrame
    answers: list[PairAnswer]
    order: pd.DataFrame
    lost: pd.DataFrame
    advice: list[tuple[pd.DataFrame, Recommendation]]
    tables: list[Table]
    grids: list[PanelGrid]
    heats: list[heat.Heat]
    fronts: list[FrontGrid]
    sequences: list[SequenceTest]
    findings: dict[str, list[Finding]]
    items_read: int
    restored: pd.DataFrame | None
    merges: pd.DataFrame | None = None


def read_items(prepared: PreparedAnalysis) -> pd.DataFrame | None:
    """Read the scores of items that intervals are over; None where there are none.

    With "auto" these are read where at most ``MOST_ITEM_RUNS`` runs have some.
    """
    runs = runs_with_items(prepared)
    mode = prepared.request.items
    if mode == "none" or not len(runs) or (mode == "auto" and len(runs) > MOST_ITEM_RUNS):
        return None
    return query.items(runs, prepared.criteria, missing="skip")


def runs_with_items(prepared: PreparedAnalysis) -> pd.DataFrame:
    """Return the runs of pairs that may have scores of items: the paper prints none."""
    runs = prepared.orders.runs
    runs = runs[runs.run_id.isin(runs_of(prepared.points))]
    return runs[runs.published.isna()] if "published" in runs else runs


def grids_of(prepared: PreparedAnalysis) -> list[PanelGrid]:
    """Return the figures of curves, which need no test."""
    return curves.grids(prepared.orders, prepared.shown(prepared.points))


def collect(
    prepared: PreparedAnalysis, items: pd.DataFrame | None, grids: list[PanelGrid]
) -> Collected:
    """Compute everything that is written.

    Args:
        prepared: the checked request, with the runs.
        items: rows of ``tracking.query.items``, for intervals over items.
        grids: what ``grids_of`` returns.
    """
    request, orders, titles = prepared.request, prepared.orders, prepared.titles
    points = intervals(prepared.runs, prepared.points, items, error=request.error)
    points["within_bounds"] = points.point.isin(prepared.inside)
    areas = prepared.shown(_areas(prepared, points, items))
    comparable = comparable_areas(points, request.bounds)
    points = with_claims(prepared.shown(points), orders.catalogue, CONFIDENCE)
    inside = points[points.within_bounds].reset_index(drop=True)
    tested = _tied(prepared, inside, items)
    by_level = co.wins(co.cells(inside), tested.is_tied).assign(over="level")
    by_area = co.wins(prepared.shown(comparable)).assign(over="area")
    advice = advise(
        prepared.runs, prepared.points, titles, items, _weights(prepared), request.bounds
    )
    lost = _lost(prepared, inside)
    criteria = claimed_criteria(orders.catalogue, prepared.criteria)
    return Collected(
        points=points,
        areas=areas,
        wins=pd.concat([by_level, by_area], ignore_index=True),
        answers=pair_answers(advice, lost, titles),
        order=_order_rows(advice),
        lost=lost,
        advice=advice,
        tables=_tables(prepared, points, inside, tested),
        grids=grids,
        heats=heat.heats(inside, areas, titles),
        fronts=front_grids([(p.iloc[0], one.settings) for p, one in advice], criteria, titles),
        sequences=sequence_tests(prepared.runs, criteria, points),
        findings=findings(inside, orders, titles, prepared.runs),
        items_read=0 if items is None else items.run_id.nunique(),
        restored=_restored(prepared),
        merges=requested_merges(prepared, items),
    )


@dataclass(frozen=True)
class ItemChanges:
    """What the steps did to items.

    Attributes:
        counts: a row per point, order, criterion and step.
        items: a row per item of these.
        runs: of how many runs the scores were read.
    """

    counts: pd.DataFrame
    items: pd.DataFrame
    runs: int


def read_item_changes(prepared: PreparedAnalysis) -> ItemChanges | None:
    """Return what each step did to each item, of at most 200 runs; None where no run has items."""
    if prepared.request.items == "none":
        return None
    criteria = claimed_criteria(prepared.orders.catalogue, prepared.criteria)
    points = prepared.points[prepared.points.criterion.isin(criteria)]
    scores = read_step_scores(points, runs_with_items(prepared), list(criteria))
    if scores is None:
        return None
    changes = item_changes(points, scores, prepared.orders.runs)
    if not len(changes):
        return None
    return ItemChanges(count_changes(changes), changes, scores.run_id.nunique())


def _areas(
    prepared: PreparedAnalysis, points: pd.DataFrame, items: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the areas over the levels with their intervals and tests."""
    request = prepared.request
    areas = co.area(points, request.bounds)
    tested = area_intervals(
        prepared.runs, points, items, bounds=request.bounds, error=request.error
    )
    added = tested[[*CURVE, *(name for name in tested if name not in areas)]]
    return areas.merge(added, on=CURVE, how="left")


def _weights(prepared: PreparedAnalysis) -> dict[str, float] | None:
    """Return weight 1 for each requested criterion that can have one; None where none was."""
    facts = prepared.orders.catalogue.criteria
    weights = {
        name: 1.0
        for name in prepared.request.criteria
        if facts[name].better != "neither" and facts[name].unit in labels.SHARES
    }
    return weights or None


def _restored(prepared: PreparedAnalysis) -> pd.DataFrame | None:
    """Return what comes back of what was unlearned, of the requested criteria; None of none."""
    try:
        frame = restored(prepared.runs)
    except InvalidInput:  # no run unlearns first, or nothing to compare with was run
        return None
    frame = frame[frame.criterion.isin(prepared.criteria)].reset_index(drop=True)
    return frame if len(frame) else None


def _lost(prepared: PreparedAnalysis, points: pd.DataFrame) -> pd.DataFrame:
    """Return the losses of every context below each other."""
    frames = []
    for context, in_context in points.groupby("context", sort=False):
        evidence = gather_evidence(
            in_context, prepared.orders, prepared.titles, str(context), prepared.runs
        )
        frames.append(measured_losses(evidence))
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def _order_rows(advice: list[tuple[pd.DataFrame, Recommendation]]) -> pd.DataFrame:
    """Return the order to choose, a row per pair and setting, the largest score first."""
    tests = pair_tests([one for _, one in advice])
    rows = []
    for (points, one), test in zip(advice, tests, strict=True):
        row = {name: points[name].iloc[0] for name in PAIR} | _order_row(one, test)
        rows.append(row | {"runs": runs_of(points)})
    by_context = ["context", "score"]
    return pd.DataFrame(rows).sort_values(by_context, ascending=[True, False], ignore_index=True)


def _order_row(one: Recommendation, test: PairTest) -> dict[str, object]:
    return {
        "order": labels.ARROW.join(one.order),
        "verdict": one.verdict,
        "score": one.score,
        "low": one.low,
        "high": one.high,
        "p": one.p,
        "p_holm": one.p_holm,
        "p_over_pairs": test.p,
        "levels": int((one.levels.within == "both").sum()),
        "units": one.units,
        "basis": one.basis,
        "words": one.words,
    }


def _tables(
    prepared: PreparedAnalysis, points: pd.DataFrame, inside: pd.DataFrame, tested: pd.DataFrame
) -> list[Table]:
    """Return Tables 2 to 4, at one level of each strength, and 8 to 14.

    Args:
        prepared: the checked request.
        points: of all levels.
        inside: of those within the bounds.
        tested: the duels of ``inside``, of ``_tied``.
    """
    tables = appendix_tables(prepared.orders, points)
    for _, in_context in inside.groupby("context"):
        levels = chosen_levels(in_context, prepared.orders.catalogue, prepared.request.levels)
        chosen_level = in_context.strength.map(labels.strength_of).map(levels)
        is_shown = (in_context.strength == "") | (in_context.level == chosen_level)
        shown = in_context[is_shown]
        tables += composed_tables(shown, prepared.titles, _tied_again(shown, tested))
    return sorted(tables, key=lambda table: (table.number, table.context))


def _tied(
    prepared: PreparedAnalysis, points: pd.DataFrame, items: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the duels of the points with ``is_tied``: whether no test says who is better."""
    cells = co.cells(points)
    duels, error = co.duels(cells), prepared.request.error
    return duels.assign(is_tied=tied(prepared.runs, points, cells, duels, items, error=error))


def _tied_again(shown: pd.DataFrame, tested: pd.DataFrame) -> pd.Series:
    """Return for each duel of some of the points whether it is tied, as it was for all.

    A duel is between methods at one level and in one context, so that leaving out other levels
    does not change it.
    """
    duels = co.duels(co.cells(shown))
    key = [name for name in duels if name not in ("best", "next", "margin")]
    merged = duels[key].merge(tested[[*key, "is_tied"]], on=key, how="left")
    return merged.is_tied.eq(True).set_axis(duels.index)
