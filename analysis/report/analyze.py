"""From runs to files: everything that `python -m analysis` writes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from analysis import labels
from analysis.inference import intervals as st
from analysis.inference import recommend
from analysis.inference.samples import MANY, samples
from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.metrics.align import VARIANT
from analysis.metrics.points import MEASURES, complete
from analysis.plots import curves, figures, heat
from analysis.report import findings
from analysis.report.content import Collected, content
from analysis.report.page import Content, render, standalone
from analysis.report.request import PreparedAnalysis
from analysis.tables import layouts, table
from tracking import query

_MOST = 2000  # runs whose items are read without being asked to: a file each
_FIRST = ["intervention", "partner", "criterion", "level", "forward", "backward", *MEASURES]
_INTERNAL = ("point", "settings")


def write(prepared: PreparedAnalysis, folder: Path) -> dict[str, list[findings.Finding]]:
    """Compute and write everything; returns the findings."""
    with tqdm(total=4, desc="analysis", unit="step", delay=2, disable=None) as steps:
        items = _items(prepared)
        steps.update()
        made = collect(prepared, items)
        steps.update()
        _csv(
            made.points[[*_FIRST, *made.points.columns.drop(_FIRST)]], folder / "composability.csv"
        )
        _csv(made.areas, folder / "areas.csv")
        _csv(made.wins, folder / "wins.csv")
        _csv(made.order, folder / "order.csv")
        table.save(made.tables, folder / "tables")
        steps.update()
        page = content(prepared, made)
        _draw(made, page, prepared.titles, folder / "figures")
        (folder / "report.html").write_text(render(page))
        steps.update()
    return made.findings


def collect(prepared: PreparedAnalysis, items: pd.DataFrame | None) -> Collected:
    """Compute everything that is written."""
    request, orders, titles = prepared.request, prepared.orders, prepared.titles
    points = st.intervals(prepared.runs, prepared.points, items, error=request.error)
    points["within_bounds"] = points.point.isin(prepared.inside)
    areas = prepared.shown(co.area(points, request.bounds))
    points = prepared.shown(points)
    inside = points[points.within_bounds].reset_index(drop=True)
    tied = _tied(prepared, inside, items)
    by_level = co.wins(co.cells(inside), tied).assign(over="level")
    by_area = co.wins(co.cells(areas.assign(level=float("nan")))).assign(over="area")
    return Collected(
        points=points,
        areas=areas,
        wins=pd.concat([by_level, by_area], ignore_index=True),
        order=_recommended(prepared, inside, items),
        tables=_tables(prepared, points, inside, items),
        grids=curves.grids(orders, points),
        heats=heat.heats(inside, areas, titles),
        findings=findings.findings(inside, orders, titles),
    )


def _items(prepared: PreparedAnalysis) -> pd.DataFrame | None:
    """The items of the runs whose points have few replicates; all or none where that was asked for."""
    if prepared.request.items == "none":
        return None
    points = prepared.points
    if prepared.request.items == "auto":
        points = points[points.replicates < MANY]
    wanted = {run for both in points.forward_runs + points.backward_runs for run in both}
    runs = prepared.orders.runs
    runs = runs[runs.run_id.isin(wanted)]
    if "published" in runs:
        runs = runs[runs.published.isna()]  # the paper prints no items
    if prepared.request.items == "auto":
        runs = runs.iloc[:0] if len(runs) > _MOST else runs
    return query.items(runs, prepared.criteria, missing="skip") if len(runs) else None


def _recommended(
    prepared: PreparedAnalysis, points: pd.DataFrame, items: pd.DataFrame | None
) -> pd.DataFrame:
    """The order to choose, a row per pair and setting, the surest first."""
    there = points[complete(points)].reset_index(drop=True)
    taken = samples(prepared.runs, there, items)
    rows = []
    for _, group in there.groupby(["intervention", "partner", *VARIANT], sort=False):
        mine = {i: taken[at] for i, at in enumerate(group.index) if at in taken}
        advice = recommend.of_points(group.reset_index(drop=True), prepared.titles, mine)
        first = group.iloc[0]
        runs = tuple(
            dict.fromkeys(run for both in group.forward_runs + group.backward_runs for run in both)
        )
        rows.append(
            {
                **{name: first[name] for name in ("intervention", "partner", *VARIANT)},
                "order": labels.ARROW.join(advice.order), "score": advice.score, "low": advice.low,
                "high": advice.high, "sure": advice.sure, "levels": group.level.nunique(),
                "resampled": advice.resampled, "words": advice.words, "runs": runs,
            }
        )  # fmt: skip
    return pd.DataFrame(rows).sort_values(
        ["context", "score"], ascending=[True, False], ignore_index=True
    )


def _tables(
    prepared: PreparedAnalysis,
    points: pd.DataFrame,
    inside: pd.DataFrame,
    items: pd.DataFrame | None,
) -> list[table.Table]:
    """Tables 2 to 4 at one level of each strength, and 8 to 14."""
    made = layouts.appendix(prepared.orders, points)
    for _, of in inside.groupby("context", sort=False):
        levels = layouts.chosen_levels(of, prepared.request.levels)
        wanted = of.strength.map(labels.strength_of).map(levels)
        at = of[(of.strength == "") | (of.level == wanted)].reset_index(drop=True)
        made += layouts.composed(at, prepared.titles, _tied(prepared, at, items))
    return sorted(made, key=lambda table: (table.number, table.context))


def _tied(
    prepared: PreparedAnalysis, points: pd.DataFrame, items: pd.DataFrame | None
) -> pd.Series:
    views = co.cells(points)
    return st.tied(
        prepared.runs, points, views, co.duels(views), items, error=prepared.request.error
    )


def _csv(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _flat(frame).to_csv(path, index=False)


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Tuples of run ids as text; without the numbers that only this process gave."""
    frame = frame.drop(columns=[name for name in _INTERNAL if name in frame])
    tuples = [str(name) for name in frame if str(name).endswith("runs")]
    return frame.assign(**{name: [" ".join(ids) for ids in frame[name]] for name in tuples})


def _draw(made: Collected, page: Content, titles: Labels, folder: Path) -> None:
    """PNG files, and pages of their own for the report's figures."""
    for grid in made.grids:
        figures.save(figures.draw(grid, titles), folder / f"{grid.name}.png")
    for one in made.heats:
        figures.save(figures.draw_heat(one, titles), folder / f"{one.name}.png")
    for name, _, figure in (*page.figures, *page.heats):
        (folder / f"{name}.html").write_text(standalone(figure))
