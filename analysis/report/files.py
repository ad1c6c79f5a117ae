"""Write an analysis as files: CSV, tables, figures and the report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from analysis.metrics.columns import MEASURES
from analysis.plots.drawing import drawn_meanwhile
from analysis.report.collect import (
    Collected,
    ItemChanges,
    collect,
    grids_of,
    read_item_changes,
    read_items,
)
from analysis.report.content import content
from analysis.report.page import render, standalone
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
    grids = grids_of(prepared)
    pictures = folder / "figures"
    with (
        tqdm(total=4, desc="analysis", unit="step", delay=2, disable=None) as bar,
        drawn_meanwhile(grids, prepared.titles, pictures),
    ):
        items = read_items(prepared)
        bar.update()
        collected = collect(prepared, items, grids)
        with drawn_meanwhile([*collected.heats, *collected.fronts], prepared.titles, pictures):
            changes = read_item_changes(prepared)
            bar.update()
            _write_tables(collected, changes, folder)
            bar.update()
            page = content(prepared, collected, changes)
            for name, _, figure in (*page.figures, *page.heats, *page.fronts):
                (pictures / f"{name}.html").write_text(standalone(figure))
            (folder / REPORT).write_text(render(page))
        bar.update()
    return collected


def _write_tables(collected: Collected, changes: ItemChanges | None, folder: Path) -> None:
    """Write every table as CSV, and the paper's in all their forms."""
    points = collected.points
    frames = {
        "composability": points[[*_FIRST, *points.columns.drop(_FIRST)]],
        "areas": collected.areas,
        "wins": collected.wins,
        "order": collected.order,
        "losses": collected.lost,
        "restored": collected.restored,
        "merges": collected.merges,
        "items": None if changes is None else changes.items,
    }
    for name, frame in frames.items():
        if frame is not None:
            _write_csv(frame, folder / f"{name}.csv")
    table.save_tables(collected.tables, folder / "tables")


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    plain_cells(_plain_columns(frame)).to_csv(path, index=False)


def _plain_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with tuples of run ids as text, and without the internal columns."""
    frame = frame.drop(columns=[name for name in _INTERNAL if name in frame])
    for name in [str(name) for name in frame]:
        if name.endswith("runs"):
            frame = frame.assign(**{name: [" ".join(run_ids) for run_ids in frame[name]]})
    return frame
