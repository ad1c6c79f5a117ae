"""The paper's Figures 2 and 3 as data: criteria over the level, in both orders, with baselines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import Labels
from analysis.metrics.align import Orders
from analysis.metrics.groups import category_of, group_rank
from analysis.plots.figure_rows import FigureRows, figure_rows
from analysis.plots.panels import Curve, Panel, PanelGrid

MOST_COLUMNS = 12  # a sweep over hyperparameters can have hundreds
_COLUMN = ["partner_group", "kind", "intervention", "intervention_variant"]
_Column = tuple[str, str, str, str]


def grids(orders: Orders, points: pd.DataFrame) -> list[PanelGrid]:
    """Return the figures of every context that has pairs with a compression.

    Args:
        orders: of the runs.
        points: rows of ``analysis.metrics.points.point``, with every level.

    Returns:
        Figure 2 (editing), Figure 3 (unlearning), and a figure per category of each criterion
        that is no share, such as perplexity.
    """
    catalogue = orders.catalogue
    partner_category = points.partner.map(lambda name: category_of(name, catalogue))
    swept = points[(partner_category == "compression") & (points.strength != "")]
    swept = swept.assign(
        kind=swept.strength.map(labels.strength_of),
        category=swept.intervention.map(lambda name: category_of(name, catalogue)),
    )
    figures = []
    for context, suffix in labels.suffixes(points.context).items():
        in_context = swept[swept.context == context]
        for rows in figure_rows(catalogue.criteria, set(in_context.criterion)):
            in_category = in_context[in_context.category == rows.category]
            shown = in_category[in_category.criterion.isin(rows.criteria)]
            if len(shown):
                caption = f"{rows.category.capitalize()} and compression; {context}"
                figures.append(_grid(orders, shown, rows, rows.name + suffix, caption))
    return figures


def _grid(
    orders: Orders, points: pd.DataFrame, rows: FigureRows, name: str, caption: str
) -> PanelGrid:
    """Return one figure: a column per intervention and kind of level, a row per criterion."""
    titles = Labels(orders.catalogue)
    points_of: dict[Any, pd.DataFrame] = dict(iter(points.groupby(_COLUMN)))
    columns: list[_Column] = sorted(points_of, key=_column_order)
    shown_columns = columns[:MOST_COLUMNS]
    panels = {}
    for column_index, column in enumerate(shown_columns):
        in_column = points_of[column]
        for row_index, criterion in enumerate(rows.criteria):
            in_panel = in_column[in_column.criterion == criterion]
            panels[row_index, column_index] = _panel(orders, in_panel, criterion, column, titles)
    return PanelGrid(
        name=name,
        caption=caption,
        category=rows.category,
        rows=rows.criteria,
        columns=[
            titles.method(method, variant) for _, _, method, variant in columns[:MOST_COLUMNS]
        ],
        panels=panels,
        catalogue=orders.catalogue,
        dropped=len(columns) - len(shown_columns),
    )


def _column_order(column: _Column) -> tuple[int, str, tuple[int, str], str]:
    """Return the sorting key of (group of the compressions, kind of level, method, variant)."""
    group, kind, method, variant = column
    return group_rank(group), kind, labels.place(method), variant


def _panel(
    orders: Orders,
    points: pd.DataFrame,
    criterion: str,
    column: _Column,
    titles: Labels,
) -> Panel:
    """Return one panel; ``points`` are of one criterion and one intervention."""
    group, kind, method, variant = column
    if not len(points):
        return Panel(criterion, kind, group, np.nan)
    alone = orders.alone[orders.alone.context == points.context.iloc[0]]
    uncompressed = np.nan
    if criterion in alone:
        is_method = (alone.intervention == method) & (alone.intervention_variant == variant)
        uncompressed = float(alone.loc[is_method, criterion].mean())
    curves = list(_curves(points, alone, criterion, titles))
    curves.sort(key=lambda curve: (labels.place(curve.name), curve.title))
    return Panel(criterion, kind, group, uncompressed, curves)


def _curves(
    points: pd.DataFrame, alone: pd.DataFrame, criterion: str, titles: Labels
) -> Iterator[Curve]:
    """Yield a curve per compression; ``alone`` are the runs of one intervention."""
    for (name, variant), pair in points.groupby(["partner", "partner_variant"]):
        pair = pair.sort_values("level")
        is_base = (alone.intervention == name) & (alone.intervention_variant == variant)
        base_values = pd.Series(dtype=float)
        if criterion in alone:
            base_values = alone[is_base].groupby("level")[criterion].mean()
        yield Curve(
            name=str(name),
            title=titles.method(str(name), str(variant)),
            levels=pair.level.to_numpy(float),
            forward=pair.forward.to_numpy(float),
            backward=pair.backward.to_numpy(float),
            alone_levels=base_values.index.to_numpy(float),
            alone=base_values.to_numpy(float),
            runs=list(pair.forward_runs + pair.backward_runs),
        )
