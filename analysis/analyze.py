"""From runs to files: everything that `python -m analysis` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from analysis import composability as co
from analysis import curves, figures, findings, heat, interactive, labels, layouts, recommendation, report, tables
from analysis import statistics as st
from analysis.content import content
from analysis.labels import Labels
from analysis.orders import VARIANT
from analysis.points import MEASURES, complete
from analysis.request import Prepared
from tracking import query

_MOST = 2000  # runs whose items are read without being asked to: a file each
_FIRST = ["intervention", "partner", "criterion", "level", "forward", "backward", *MEASURES]
_INTERNAL = ("point", "settings")


def write(prepared: Prepared, folder: Path) -> dict[str, list[findings.Finding]]:
    """Compute and write everything; returns the findings."""
    request, orders, titles = prepared.request, prepared.orders, prepared.titles
    steps = tqdm(total=5, desc="analysis", unit="step", delay=2, disable=None)
    items = _items(prepared)
    steps.update()
    points = st.intervals(prepared.runs, prepared.points, items, error=request.error)
    points["within_bounds"] = points.point.isin(prepared.inside)
    steps.update()
    areas = prepared.shown(co.area(points, request.bounds))
    points = prepared.shown(points)
    chosen = _recommended(prepared, points, items)
    counted, made = _tables(prepared, points, areas, items)
    steps.update()
    _csv(points[[*_FIRST, *(name for name in points if name not in _FIRST)]], folder / "composability.csv")
    _csv(areas, folder / "areas.csv")
    _csv(counted, folder / "wins.csv")
    _csv(chosen, folder / "order.csv")
    tables.save(made, folder / "tables")
    inside = points[points.within_bounds]
    grids, heats = curves.grids(orders, points), heat.heats(inside, areas, titles)
    _draw(grids, heats, titles, folder / "figures")
    steps.update()
    told = findings.findings(inside, orders, titles)
    page = content(prepared, points, areas, chosen, made, grids, heats, told)
    (folder / "report.html").write_text(report.render(page, titles))
    steps.update()
    steps.close()
    return told


def _items(prepared: Prepared) -> pd.DataFrame | None:
    """The items of the runs whose points have few replicates; all or none where that was asked for."""
    if prepared.request.items == "none":
        return None
    points = prepared.points
    if prepared.request.items == "auto":
        points = points[points.replicates < st.MANY]
    wanted = {run for both in points.forward_runs + points.backward_runs for run in both}
    runs = prepared.orders.runs
    runs = runs[runs.run_id.isin(wanted)]
    if "published" in runs:
        runs = runs[runs.published.isna()]  # the paper prints no items
    if prepared.request.items == "auto":
        runs = runs.iloc[:0] if len(runs) > _MOST else runs
    return query.items(runs, prepared.criteria, missing="skip") if len(runs) else None


def _recommended(prepared: Prepared, points: pd.DataFrame, items: pd.DataFrame | None) -> pd.DataFrame:
    """The order to choose, a row per pair and setting, the surest first."""
    there = points[complete(points)].reset_index(drop=True)
    taken = st.samples(prepared.runs, there, items)
    rows = []
    for _, group in there.groupby(["intervention", "partner", *VARIANT], sort=False):
        mine = {i: taken[at] for i, at in enumerate(group.index) if at in taken}
        advice = recommendation.of_points(group.reset_index(drop=True), prepared.titles, mine)
        first = group.iloc[0]
        runs = tuple(dict.fromkeys(run for both in group.forward_runs + group.backward_runs for run in both))
        rows.append(
            {
                **{name: first[name] for name in ("intervention", "partner", *VARIANT)},
                "order": labels.ARROW.join(advice.order), "score": advice.score, "low": advice.low,
                "high": advice.high, "sure": advice.sure, "levels": group.level.nunique(),
                "resampled": advice.resampled, "words": advice.words, "runs": runs,
            }
        )  # fmt: skip
    return pd.DataFrame(rows).sort_values(["context", "score"], ascending=[True, False], ignore_index=True)


def _tables(
    prepared: Prepared, points: pd.DataFrame, areas: pd.DataFrame, items: pd.DataFrame | None
) -> tuple[pd.DataFrame, list[tables.Table]]:
    """The wins, by level and by area; Tables 2 to 4 and 8 to 14."""
    inside = points[points.within_bounds].reset_index(drop=True)
    tied = _tied(prepared, inside, items)
    by_level = co.wins(co.cells(inside), tied).assign(over="level")
    by_area = co.wins(co.cells(areas.assign(level=float("nan")))).assign(over="area")
    made = []
    for _, of in inside.groupby("context", sort=False):
        levels = layouts.chosen_levels(of, dict(prepared.request.levels))
        at = of[
            [
                levels.get(labels.strength_of(s), level) == level or s == ""
                for s, level in zip(of.strength, of.level, strict=True)
            ]
        ]
        at = at.reset_index(drop=True)
        made += layouts.composed(at, prepared.titles, _tied(prepared, at, items))
    made += layouts.appendix(prepared.orders, points)
    return pd.concat([by_level, by_area], ignore_index=True), sorted(made, key=lambda t: (t.number, t.context))


def _tied(prepared: Prepared, points: pd.DataFrame, items: pd.DataFrame | None) -> pd.Series:
    views = co.cells(points)
    return st.tied(prepared.runs, points, views, co.duels(views), items, error=prepared.request.error)


def _csv(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _flat(frame).to_csv(path, index=False)


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Tuples of run ids as text; without the numbers that only this process gave."""
    frame = frame.drop(columns=[name for name in _INTERNAL if name in frame])
    tuples = [str(name) for name in frame if str(name).endswith("runs")]
    return frame.assign(**{name: [" ".join(ids) for ids in frame[name]] for name in tuples})


def _draw(grids: Sequence[curves.Grid], heats: Sequence[heat.Heat], titles: Labels, folder: Path) -> None:
    for grid in grids:
        figures.save(figures.draw(grid, titles), folder / f"{grid.name}.png")
        (folder / f"{grid.name}.html").write_text(report.standalone(interactive.figure(grid, titles)))
    for one in heats:
        figures.save(figures.draw_heat(one, titles), folder / f"{one.name}.png")
        (folder / f"{one.name}.html").write_text(report.standalone(interactive.heat_map(one, titles)))
