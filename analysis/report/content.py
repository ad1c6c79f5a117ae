"""The report's content: what was computed, as blocks and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.inference import intervals as st
from analysis.labels import Labels
from analysis.metrics.align import VARIANT
from analysis.metrics.points import ADJUSTED, MEASURES, missing
from analysis.plots import curves, heat, interactive
from analysis.report import findings, page
from analysis.report.request import PreparedAnalysis
from analysis.tables import table
from analysis.tables.table import Block

ERROR_WORDS = {
    "best": "1 - the better of the two orders (the value itself where lower is better), as in the paper's tables",
    "worst": "1 - the worse of the two orders (the value itself where lower is better), as equation 1 is printed",
}
NOTES = (
    "The adjusted error is max(0, κ - 0.25) / 0.75, for four-choice criteria where lower is better: 0 at chance.",
)


@dataclass(frozen=True)
class Collected:
    """Everything that an analysis computes: points with intervals, areas, wins, the order to choose, and the rest."""

    points: pd.DataFrame
    areas: pd.DataFrame
    wins: pd.DataFrame
    order: pd.DataFrame
    tables: list[table.Table]
    grids: list[curves.PanelGrid]
    heats: list[heat.Heat]
    findings: dict[str, list[findings.Finding]]


def content(prepared: PreparedAnalysis, made: Collected) -> page.Content:
    """Everything that the page shows."""
    titles, orders = prepared.titles, prepared.orders
    used = pd.concat([orders.runs, orders.alone])
    over = sorted(set(made.points.over[made.points.units > 0]))
    dropped = [
        f"{grid.caption}: {grid.dropped} more columns found no place."
        for grid in made.grids
        if grid.dropped
    ]
    dropped += [
        f"{one.caption}: {one.dropped} more methods found no place."
        for one in made.heats
        if one.dropped
    ]
    return page.Content(
        title=", ".join(prepared.request.experiments),
        runs=used[["run_id", "experiment_id"]],
        findings=made.findings,
        order=_order_block(made.order, titles),
        tables=made.tables,
        areas=_area_block(made.areas, made.points, titles),
        figures=[
            (grid.name, grid.caption, interactive.figure(grid, titles)) for grid in made.grids
        ],
        heats=[(one.name, one.caption, interactive.heat_map(one, titles)) for one in made.heats],
        missing=[_sentence(row, titles) for row in missing(prepared.points).to_dict("records")],
        left_out=orders.left_out,
        notes=[*NOTES, *dropped],
        error_words=ERROR_WORDS[prepared.request.error],
        confidence=st.CONFIDENCE,
        over=f"over {' and '.join(over)}"
        if over
        else "none here, as there is one run per order and no items",
        ui=prepared.request.ui,
    )


def _order_block(chosen: pd.DataFrame, titles: Labels) -> Block:
    columns = ["Better order", "By", f"{st.CONFIDENCE:.0%} interval", "Sure", "Levels", "Resampled"]
    rows = [
        (
            titles.order(*row["order"].split(labels.ARROW)) if row["score"] else "neither",
            labels.number(row["score"], 3),
            f"{row['low']:.3f} to {row['high']:.3f}" if np.isfinite(row["low"]) else "–",
            labels.percent(row["sure"]),
            str(row["levels"] or ""),
            row["resampled"],
        )
        for row in chosen.to_dict("records")
    ]
    block = _block(rows, _pair_labels(chosen, titles), columns, list(chosen.runs))
    told = [name for name in columns if block.values[name].isin(["", "–"]).all()]
    values, best, runs = (
        frame.drop(columns=told) for frame in (block.values, block.best, block.runs)
    )
    return Block(values, best, runs.where(~values.isin(["", "–"]) & (values.columns != columns[0])))


def _area_block(areas: pd.DataFrame, points: pd.DataFrame, titles: Labels) -> Block:
    columns = [
        "Criterion",
        "Levels",
        "As written",
        "Other way",
        *(labels.TITLES[m] for m in MEASURES),
        "Adjusted",
    ]
    places = {name: i for i, name in enumerate(titles.catalogue.criteria)}
    areas = areas.assign(
        first=areas.intervention.map(labels.place),
        then=areas.partner.map(labels.place),
        of=areas.criterion.map(places),
    ).sort_values(["context", "first", "then", *VARIANT, "of"], ignore_index=True)
    numbers = [
        areas[name].map(lambda v: labels.number(v, 3))
        for name in ("forward", "backward", *MEASURES, ADJUSTED)
    ]
    rows = list(zip(areas.criterion.map(titles.criterion), areas.levels, *numbers, strict=True))
    key = ["intervention", "partner", "settings", "criterion"]
    both = (
        (points.forward_runs + points.backward_runs)
        .groupby([points[name] for name in key], sort=False)
        .sum()
    )
    runs = [tuple(dict.fromkeys(both[at])) for at in areas[key].itertuples(index=False, name=None)]
    return _block(rows, _pair_labels(areas, titles), columns, runs)


def _block(
    rows: list[Any], index: list[str], columns: list[str], runs: list[tuple[str, ...]]
) -> Block:
    values = pd.DataFrame(rows, index=index, columns=columns)
    linked = pd.DataFrame({name: pd.Series(runs, dtype=object) for name in columns})
    return Block(values, values.notna() & False, linked.set_axis(index, axis=0))


def _pair_labels(frame: pd.DataFrame, titles: Labels) -> list[str]:
    """``FT + Wanda``, with the context where there are several."""
    several = frame.context.nunique() > 1
    return [
        f"{titles.method(row['intervention'], row['intervention_variant'])} +"
        f" {titles.method(row['partner'], row['partner_variant'])}"
        + (f"; {row['context']}" if several else "")
        for row in frame[["intervention", "partner", *VARIANT]].to_dict("records")
    ]


def _sentence(row: Mapping[Any, Any], titles: Labels) -> str:
    pair = " + ".join(
        titles.method(row[side], row[f"{side}_variant"]) for side in ("intervention", "partner")
    )
    where = labels.level_text(row["strength"], row["level"])
    return f"{pair}{f' at {where}' if where else ''} ({row['context']}): {row['what']}."
