"""Tables 8 to 14 of the paper, from any runs: every composition's criteria."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import Labels
from analysis.metrics.align import Orders
from analysis.metrics.groups import CATEGORIES, category_of
from analysis.tables.layouts import ALONE, APPENDIX, SEQUENCES
from analysis.tables.table import Block, Table


@dataclass(frozen=True)
class AppendixRow:
    """One row of a table.

    Attributes:
        order: rows are sorted by it.
        label: printed before the numbers.
        runs: ids of the runs that the numbers are of.
        key: index label of the numbers.
    """

    order: tuple[Any, ...]
    label: str
    runs: tuple[str, ...]
    key: Any


def appendix_tables(orders: Orders, points: pd.DataFrame) -> list[Table]:
    """Return Tables 8 to 14 for each context; those without a row are left out.

    Args:
        orders: of the runs.
        points: rows of ``composability.point``, with every level and criterion.
    """
    titles = Labels(orders.catalogue)
    tables: list[Table] = []
    if not any(name in orders.criteria for name in APPENDIX):
        return tables  # a third party's criteria are in the CSV files only
    for context in dict.fromkeys([*points.context, *orders.alone.context]):
        alone = _alone(orders, context, titles)
        if len(alone):
            caption = f"The base model and each intervention alone; {context}"
            tables.append(Table(ALONE, caption, context, [_listed(alone, titles)]))
        in_context = points[points.context == context]
        for number, (first, second) in SEQUENCES.items():
            rows = _sequences(in_context, first, second, titles)
            if len(rows):
                caption = f"{first.capitalize()}, then {second}; {context}"
                tables.append(Table(number, caption, context, [_listed(rows, titles)]))
    return sorted(tables, key=lambda table: (table.number, table.context))


def _alone(orders: Orders, context: str, titles: Labels) -> pd.DataFrame:
    """Return the runs of one intervention or none, averaged by intervention and level."""
    runs = orders.alone[orders.alone.context == context]
    criteria = [name for name in APPENDIX if name in orders.criteria]
    key = ["intervention", "intervention_variant", "strength", "level"]
    numbers = runs.groupby(key, dropna=False, sort=False).ngroup()
    rows = []
    for number, group in runs.groupby(numbers):
        name, variant, strength, level = (group[column].iloc[0] for column in key)
        rank = labels.place(name, labels.APPENDIX_ORDER)
        # the base model, whose name is empty, comes first
        order = (bool(name), rank, variant, np.nan_to_num(level))
        label = titles.method(name, variant) + _level_suffix(strength, level)
        rows.append(AppendixRow(order, label, tuple(group.run_id), number))
    return _frame(rows, runs.groupby(numbers)[criteria].mean())


def _sequences(points: pd.DataFrame, first: str, second: str, titles: Labels) -> pd.DataFrame:
    """Return the compositions of an intervention of one category, then one of another category."""
    roles, order = ("intervention", "partner"), "forward"
    if CATEGORIES.index(first) > CATEGORIES.index(second):
        roles, order = ("partner", "intervention"), "backward"
    is_shown = points[order].notna() & points.criterion.isin(list(APPENDIX))
    for role, category in zip(roles, (first, second), strict=True):
        is_shown &= points[role].map(lambda name: category_of(name, titles.catalogue)) == category
    shown = points[is_shown]
    rows = []
    for cell in shown.drop_duplicates("point").to_dict("records"):
        label = labels.ARROW.join(_step_label(cell, role, titles) for role in roles)
        ranks = [labels.place(cell[role], labels.APPENDIX_ORDER) for role in roles]
        variants = [cell[f"{role}_variant"] for role in roles]
        position = (*zip(ranks, variants, strict=True), np.nan_to_num(cell["level"]))
        rows.append(AppendixRow(position, label, cell[f"{order}_runs"], cell["point"]))
    return _frame(rows, shown.pivot(index="point", columns="criterion", values=order))


def _step_label(cell: dict[Any, Any], role: str, titles: Labels) -> str:
    """Return a step's title, with the level if it is this step's."""
    name = titles.method(cell[role], cell[f"{role}_variant"])
    has_level = cell["strength"].startswith(f"{cell[role]}.")
    return name + (_level_suffix(cell["strength"], cell["level"]) if has_level else "")


def _level_suffix(strength: str, level: float) -> str:
    """Return `` (0.25)`` or `` (4-Bit)``, as the paper writes levels; "" without a strength."""
    name = labels.strength_of(strength)
    if not name:
        return ""
    unit = f"-{name.removesuffix('s').capitalize()}" if labels.counts_units(name) else ""
    return f" ({level:g}{unit})"


def _frame(rows: list[AppendixRow], values: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers by label, in order, with ``runs`` beside them."""
    rows = sorted(rows, key=lambda row: row.order)
    frame = values.loc[[row.key for row in rows]]
    frame.index = pd.Index([row.label for row in rows])
    frame["runs"] = pd.Series([row.runs for row in rows], index=frame.index, dtype=object)
    return frame


def _listed(rows: pd.DataFrame, titles: Labels) -> Block:
    """Return the columns of the appendix that the rows have; no number is best."""
    criteria = [name for name in APPENDIX if name in rows]
    header = pd.MultiIndex.from_tuples(
        [(APPENDIX[name], titles.criterion(name)) for name in criteria]
    )
    values = rows[criteria].astype(float).set_axis(header, axis=1)
    runs = pd.DataFrame({name: rows.runs for name in criteria}).set_axis(header, axis=1)
    return Block(values, values.notna() & False, runs)
