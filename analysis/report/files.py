"""Write an analysis as files: CSV, tables, figures and the report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from analysis.labels import Labels
from analysis.metrics.columns import MEASURES
from analysis.plots import figures
from analysis.plots.front_figure import draw_fronts
from analysis.plots.heat_figure import draw_heat
from analysis.report.collect import Collected, collect, read_item_changes, read_items
from analysis.report.content import content
from analysis.report.page import Content, render, standalone
from analysis.report.prepare import PreparedAnalysis
from analysis.tables import table
from tracking.markup import plain_cells

REPORT = "report.html"
_FIRST = ["intervention", "partner", "criterion", "level", "forward", "backward", *MEASURES]
_INTERNAL = ("point", "settings")  # numbers that mean something within this process only


def write_files(prepared: PreparedAnalysis, folder: Path) -> Collected:
    """Compute an analysis and write everything of it; return what was computed.

    Args:
        prepared: the checked request, with the runs.
        folder: is made if it is missing.
    """
    with tqdm(total=4, desc="analysis", unit="step", delay=2, disable=None) as bar:
        items = read_items(prepared)
        bar.update()
        collected = collect(prepared, items)
        changes = read_item_changes(prepared)
        bar.update()
        points = collected.points
        points = points[[*_FIRST, *points.columns.drop(_FIRST)]]
        _write_csv(points, folder / "composability.csv")
        _write_csv(collected.areas, folder / "areas.csv")
        _write_csv(collected.wins, folder / "wins.csv")
        _write_csv(collected.order, folder / "order.csv")
        _write_csv(collected.lost, folder / "losses.csv")
        if collected.restored is not None:
            _write_csv(collected.restored, folder / "restored.csv")
        if collected.merges is not None:
            _write_csv(collected.merges, folder / "merges.csv")
        if changes is not None:
            _write_csv(changes.items, folder / "items.csv")
        table.save_tables(collected.tables, folder / "tables")
        bar.update()
        page = content(prepared, collected, changes)
        _write_figures(collected, page, prepared.titles, folder / "figures")
        (folder / REPORT).write_text(render(page))
        bar.update()
    return collected


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain_cells(_plain_columns(frame)).to_csv(path, index=False)


def _plain_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with tuples of run ids as text, and without the internal columns."""
    frame = frame.drop(columns=[name for name in _INTERNAL if name in frame])
    for name in [str(name) for name in frame]:
        if name.endswith("runs"):
            frame = frame.assign(**{name: [" ".join(run_ids) for run_ids in frame[name]]})
    return frame


def _write_figures(collected: Collected, page: Content, titles: Labels, folder: Path) -> None:
    """Write every figure as PNG, and as a page of its own."""
    for grid in collected.grids:
        figures.save_figure(figures.draw(grid, titles), folder / f"{grid.name}.png")
    for heat in collected.heats:
        figures.save_figure(draw_heat(heat, titles), folder / f"{heat.name}.png")
    for fronts in collected.fronts:
        figures.save_figure(draw_fronts(fronts, titles), folder / f"{fronts.name}.png")
    for name, _, figure in (*page.figures, *page.heats, *page.fronts):
        (folder / f"{name}.html").write_text(standalone(figure))
