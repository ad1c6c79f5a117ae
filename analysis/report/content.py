"""Turn a computed analysis into the report's content: blocks, figures and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import labels
from analysis.inference.confidence import CONFIDENCE
from analysis.labels import Labels
from analysis.metrics.missing import missing, missing_alone
from analysis.plots.interactive import draw_curves
from analysis.plots.interactive_fronts import draw_front_panels
from analysis.plots.interactive_heat import draw_heat_map
from analysis.report.blocks import area_block, comparison_block, level_block
from analysis.report.collect import MOST_ITEM_RUNS, Collected, ItemChanges, runs_with_items
from analysis.report.extra_blocks import (
    changes_block,
    merges_block,
    restored_block,
    sequences_block,
)
from analysis.report.page import Content
from analysis.report.prepare import PreparedAnalysis
from analysis.report.side_by_side import side_by_side_block

ERROR_WORDS = {
    "best": "1 - the better of the two orders (the value itself where lower is better),"
    " as in the paper's tables",
    "worst": "1 - the worse of the two orders (the value itself where lower is better),"
    " as equation 1 is printed",
}
NOTES = (
    "The adjusted error is max(0, κ - 0.25) / 0.75, for four-choice criteria where lower is better:"
    " 0 at chance.",
)


def content(
    prepared: PreparedAnalysis, collected: Collected, changes: ItemChanges | None = None
) -> Content:
    """Return everything that the page shows.

    Args:
        prepared: the checked request, with the runs.
        collected: what was computed.
        changes: what the steps did to items; None where no scores of items were read.
    """
    titles, orders = prepared.titles, prepared.orders
    used_runs = pd.concat([orders.runs, orders.alone])
    gaps = [
        gap
        for frame in (missing(prepared.points), missing_alone(prepared.points))
        for gap in frame.to_dict("records")
    ]
    return Content(
        title=", ".join(prepared.request.experiments),
        runs=used_runs[["run_id", "experiment_id"]],
        answers=collected.answers,
        findings=collected.findings,
        levels=level_block(collected.advice, titles),
        comparisons=comparison_block(collected.points[collected.points.about], titles),
        tables=collected.tables,
        areas=area_block(collected.areas, collected.points, titles),
        figures=[(grid.name, grid.caption, draw_curves(grid, titles)) for grid in collected.grids],
        heats=[(heat.name, heat.caption, draw_heat_map(heat, titles)) for heat in collected.heats],
        fronts=[
            (grid.name, grid.caption, draw_front_panels(grid, titles)) for grid in collected.fronts
        ],
        side_by_side=side_by_side_block(collected.points, titles),
        changes=None if changes is None else changes_block(changes.counts, titles),
        changes_note=_changes_in_words(prepared, changes),
        sequences=sequences_block(collected.sequences, titles),
        restored=restored_block(collected.restored, titles),
        merges=merges_block(collected.merges, titles),
        missing=[_gap_in_words(gap, titles) for gap in gaps],
        left_out=[*orders.left_out, *prepared.left_out],
        notes=[*NOTES, *_items_in_words(prepared, collected), *_dropped_in_words(collected)],
        error_words=ERROR_WORDS[prepared.request.error],
        confidence=CONFIDENCE,
        over=_basis_in_words(collected.points),
        ui=prepared.request.ui,
    )


def _dropped_in_words(collected: Collected) -> list[str]:
    """Return which figures leave out something because they would be too large."""
    sentences = []
    figure_lists: tuple[tuple[Sequence[Any], str], ...] = (
        (collected.grids, "columns"),
        (collected.heats, "methods"),
        (collected.fronts, "panels"),
    )
    for figures, parts in figure_lists:
        for figure in figures:
            if figure.dropped:
                sentences.append(f"{figure.caption}: {figure.dropped} more {parts} found no place.")
    return sentences


def _basis_in_words(points: pd.DataFrame) -> str:
    """Return what the intervals are over."""
    bases = sorted(set(points.basis) - {""})
    return f"over {', '.join(bases)}" if bases else "none here: one run of each order, no items"


def _items_in_words(prepared: PreparedAnalysis, collected: Collected) -> list[str]:
    """Return whose items were read, where there are some."""
    count = len(runs_with_items(prepared))
    if not count:
        return []
    if collected.items_read:
        return [f"Scores of items were read of {labels.counted(collected.items_read, 'run')}."]
    return [
        f"No scores of items were read: {labels.counted(count, 'run')} may have some, and more than"
        f" {MOST_ITEM_RUNS} are read with --items all only."
    ]


def _changes_in_words(prepared: PreparedAnalysis, changes: ItemChanges | None) -> str:
    """Return of how many runs items were read for the table of what steps did to them."""
    if changes is None:
        return "No scores of items were read: no run has any, or --items none was given."
    count = len(runs_with_items(prepared))
    return (
        f"Read of {changes.runs} of {labels.counted(count, 'run')} of pairs (at most"
        f" {MOST_ITEM_RUNS}); items.csv names every item."
    )


def _gap_in_words(gap: Mapping[Any, Any], titles: Labels) -> str:
    """Return what is missing of a pair, as a sentence."""
    names = [
        titles.method(gap[side], gap[f"{side}_variant"]) for side in ("intervention", "partner")
    ]
    level = labels.level_text(gap["strength"], gap["level"])
    pair = " + ".join(names) + (f" at {level}" if level else "")
    return f"{pair} ({gap['context']}): {gap['what']}."
