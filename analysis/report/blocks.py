"""The report's own tables as blocks: the order to choose, and the areas over the levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.inference.bootstrap import CONFIDENCE
from analysis.labels import Labels
from analysis.metrics.columns import ADJUSTED, MEASURES, VARIANT
from analysis.tables.table import Block

_ORDER_COLUMNS = (
    "Better order",
    "By",
    f"{CONFIDENCE:.0%} interval",
    "Sure",
    "Levels",
    "Resampled",
)
_EMPTY = ("", labels.NOTHING)
_CURVE = ["intervention", "partner", "settings", "criterion"]


def order_block(order: pd.DataFrame, titles: Labels) -> Block:
    """Return the order to choose as a block, a row per pair; columns without a value are left out.

    Args:
        order: the better order of each pair with its score, as ``collect`` computes it.
        titles: for rows and cells.
    """
    rows = [_order_row(pair, titles) for pair in order.to_dict("records")]
    block = _block(rows, _pair_labels(order, titles), list(_ORDER_COLUMNS), list(order.runs))
    empty = [name for name in _ORDER_COLUMNS if block.values[name].isin(_EMPTY).all()]
    values, best, runs = (
        frame.drop(columns=empty) for frame in (block.values, block.best, block.runs)
    )
    # Numbers link to their runs; the order itself and empty cells do not.
    is_number = ~values.isin(_EMPTY) & (values.columns != _ORDER_COLUMNS[0])
    return Block(values, best, runs.where(is_number))


def area_block(areas: pd.DataFrame, points: pd.DataFrame, titles: Labels) -> Block:
    """Return the areas as a block, a row per pair and criterion, in the order of the tables.

    Args:
        areas: rows of ``analysis.metrics.areas.area``.
        points: the points that the areas are of, for their runs.
        titles: for rows and columns.
    """
    measures = [labels.MEASURE_TITLES[measure] for measure in MEASURES]
    columns = ["Criterion", "Levels", "As written", "Other way", *measures, "Adjusted"]
    areas = _in_paper_order(areas, titles)
    numbers = [
        areas[name].map(lambda value: labels.number(value, 3))
        for name in ("forward", "backward", *MEASURES, ADJUSTED)
    ]
    criteria = areas.criterion.map(titles.criterion)
    rows = list(zip(criteria, areas.levels, *numbers, strict=True))
    both_orders = points.forward_runs + points.backward_runs
    runs_of_curve = both_orders.groupby([points[name] for name in _CURVE], sort=False).sum()
    curves = areas[_CURVE].itertuples(index=False, name=None)
    runs = [tuple(dict.fromkeys(runs_of_curve[curve])) for curve in curves]
    return _block(rows, _pair_labels(areas, titles), columns, runs)


def _order_row(pair: Mapping[Any, Any], titles: Labels) -> tuple[str, ...]:
    first_and_second = pair["order"].split(labels.ARROW)
    interval = f"{pair['low']:.3f} to {pair['high']:.3f}"
    return (
        titles.order(*first_and_second) if pair["score"] else "neither",
        labels.number(pair["score"], 3),
        interval if np.isfinite(pair["low"]) else labels.NOTHING,
        labels.percent(pair["sure"]),
        str(pair["levels"] or ""),
        pair["resampled"],
    )


def _in_paper_order(areas: pd.DataFrame, titles: Labels) -> pd.DataFrame:
    """Return areas sorted by pair as in the paper, then by criterion as in the catalogue."""
    criterion_places = {name: place for place, name in enumerate(titles.catalogue.criteria)}
    areas = areas.assign(
        first_place=areas.intervention.map(labels.place),
        second_place=areas.partner.map(labels.place),
        criterion_place=areas.criterion.map(criterion_places),
    )
    key = ["context", "first_place", "second_place", *VARIANT, "criterion_place"]
    return areas.sort_values(key, ignore_index=True)


def _block(
    rows: list[Any], index: list[str], columns: list[str], runs: list[tuple[str, ...]]
) -> Block:
    """Return a block in which every cell of a row links to the row's runs, and none is best."""
    values = pd.DataFrame(rows, index=index, columns=columns)
    linked = pd.DataFrame({name: pd.Series(runs, dtype=object) for name in columns})
    return Block(values, values.notna() & False, linked.set_axis(index, axis=0))


def _pair_labels(frame: pd.DataFrame, titles: Labels) -> list[str]:
    """Return ``FT + Wanda`` for each row, with the context where there are several."""
    several = frame.context.nunique() > 1
    pairs = []
    for row in frame[["intervention", "partner", *VARIANT]].to_dict("records"):
        first = titles.method(row["intervention"], row["intervention_variant"])
        second = titles.method(row["partner"], row["partner_variant"])
        pairs.append(f"{first} + {second}" + (f"; {row['context']}" if several else ""))
    return pairs
