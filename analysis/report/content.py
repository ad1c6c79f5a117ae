"""Turn a computed analysis into the report's content: blocks, figures and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import labels
from analysis.inference.bootstrap import CONFIDENCE
from analysis.labels import Labels
from analysis.metrics.missing import missing
from analysis.plots.interactive import draw_curves
from analysis.plots.interactive_heat import draw_heat_map
from analysis.report.blocks import area_block, order_block
from analysis.report.collect import Collected
from analysis.report.page import Content
from analysis.report.prepare import PreparedAnalysis

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


def content(prepared: PreparedAnalysis, collected: Collected) -> Content:
    """Return everything that the page shows."""
    titles, orders = prepared.titles, prepared.orders
    used_runs = pd.concat([orders.runs, orders.alone])
    gaps = missing(prepared.points).to_dict("records")
    return Content(
        title=", ".join(prepared.request.experiments),
        runs=used_runs[["run_id", "experiment_id"]],
        findings=collected.findings,
        order=order_block(collected.order, titles),
        tables=collected.tables,
        areas=area_block(collected.areas, collected.points, titles),
        figures=[(grid.name, grid.caption, draw_curves(grid, titles)) for grid in collected.grids],
        heats=[(heat.name, heat.caption, draw_heat_map(heat, titles)) for heat in collected.heats],
        missing=[_gap_in_words(gap, titles) for gap in gaps],
        left_out=orders.left_out,
        notes=[*NOTES, *_dropped_in_words(collected)],
        error_words=ERROR_WORDS[prepared.request.error],
        confidence=CONFIDENCE,
        over=_resampled_in_words(collected.points),
        ui=prepared.request.ui,
    )


def _dropped_in_words(collected: Collected) -> list[str]:
    """Return which figures leave out something because they would be too large."""
    sentences = []
    for figures, parts in ((collected.grids, "columns"), (collected.heats, "methods")):
        for figure in figures:
            if figure.dropped:
                sentences.append(f"{figure.caption}: {figure.dropped} more {parts} found no place.")
    return sentences


def _resampled_in_words(points: pd.DataFrame) -> str:
    """Return what the intervals were resampled over."""
    units = sorted(set(points.over[points.units > 0]))
    if not units:
        return "none here, as there is one run per order and no items"
    return f"over {' and '.join(units)}"


def _gap_in_words(gap: Mapping[Any, Any], titles: Labels) -> str:
    """Return what is missing of a pair, as a sentence."""
    names = [
        titles.method(gap[side], gap[f"{side}_variant"]) for side in ("intervention", "partner")
    ]
    level = labels.level_text(gap["strength"], gap["level"])
    pair = " + ".join(names) + (f" at {level}" if level else "")
    return f"{pair} ({gap['context']}): {gap['what']}."
