"""The order sensitivity of all pairs as data: a matrix per criterion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import Labels
from analysis.metrics.groups import group_rank

MOST_METHODS = 24  # a sweep over hyperparameters can have hundreds
_PAIR = ["criterion", "intervention", "intervention_variant", "partner", "partner_variant"]
_SIDES = ("intervention", "partner")

Method = tuple[str, str]  # an intervention's name, and its variant


@dataclass(frozen=True)
class Heat:
    """Matrices of order sensitivity, all on one colour scale.

    Attributes:
        name: of the figure's file, without suffix.
        caption: above the figure.
        methods: titles of interventions, for rows and columns.
        criteria: names, one per matrix.
        values: criterion to a symmetric matrix (methods, methods); NaN where there is no pair.
        most: the end of the colour scale.
        dropped: how many more methods there would be.
    """

    name: str
    caption: str
    methods: list[str]
    criteria: list[str]
    values: dict[str, np.ndarray]
    most: float
    dropped: int


def heats(points: pd.DataFrame, areas: pd.DataFrame, titles: Labels) -> list[Heat]:
    """Return the matrices of each context.

    Args:
        points: rows of ``analysis.metrics.points.point``.
        areas: rows of ``analysis.metrics.areas.area``; where a pair was swept, its area over the
            levels stands in the matrix, elsewhere the value at its one level.
        titles: for rows and columns.
    """
    groups = [f"{side}_group" for side in _SIDES]
    swept = areas[[*_PAIR, "context", "unit", "better", *groups, "order_sensitivity"]]
    merged = points.merge(
        swept[[*_PAIR, "context"]], on=[*_PAIR, "context"], how="left", indicator=True
    )
    single = merged.loc[merged._merge == "left_only", swept.columns]
    cells = pd.concat([swept, single]).dropna(subset="order_sensitivity")
    # One colour scale compares criteria in [0, 1] only.
    cells = cells[cells.unit.isin(labels.SHARES) & (cells.better != "neither")]
    return [
        _heat(cells[cells.context == context], f"order-sensitivity{suffix}", context, titles)
        for context, suffix in labels.suffixes(cells.context).items()
    ]


def _heat(cells: pd.DataFrame, name: str, context: str, titles: Labels) -> Heat:
    ranked = _ranked_methods(cells)
    shown = _limited(ranked) if len(ranked) > MOST_METHODS else ranked
    positions = {method: position for position, method in enumerate(shown)}
    measured = set(cells.criterion)
    criteria = [criterion for criterion in titles.catalogue.criteria if criterion in measured]
    values = {criterion: np.full((len(shown), len(shown)), np.nan) for criterion in criteria}
    pairs: Iterable[Any] = cells.itertuples()
    for cell in pairs:
        row = positions.get((cell.intervention, cell.intervention_variant))
        column = positions.get((cell.partner, cell.partner_variant))
        if row is not None and column is not None:
            matrix = values[cell.criterion]
            matrix[row, column] = matrix[column, row] = cell.order_sensitivity
    return Heat(
        name=name,
        caption="Order sensitivity: areas over the levels, or the value where there are none;"
        f" {context}",
        methods=[titles.method(*method) for method in shown],
        criteria=criteria,
        values=values,
        most=_end_of_scale(values.values()),
        dropped=len(ranked) - len(shown),
    )


def _ranked_methods(cells: pd.DataFrame) -> list[Method]:
    """Return every method of the pairs, by group, then in the paper's order."""
    groups: dict[Method, str] = {}
    for side in _SIDES:
        methods = zip(cells[side], cells[f"{side}_variant"], strict=True)
        groups.update(zip(methods, cells[f"{side}_group"], strict=True))
    return sorted(
        groups,
        key=lambda method: (group_rank(groups[method]), labels.place(method[0]), method[1]),
    )


def _limited(methods: list[Method]) -> list[Method]:
    """Return at most ``MOST_METHODS``: the first variants of every intervention, equally many."""
    names = list(dict.fromkeys(name for name, _ in methods))
    variants_each = max(1, MOST_METHODS // len(names))
    shown: list[Method] = []
    for name in names:
        variants = [method for method in methods if method[0] == name]
        shown += variants[:variants_each]
    return shown[:MOST_METHODS]


def _end_of_scale(matrices: Iterable[np.ndarray]) -> float:
    """Return the largest finite value; 1 where nothing is above 0."""
    finite = [value for matrix in matrices for value in matrix[np.isfinite(matrix)].tolist()]
    return max([0.0, *finite]) or 1.0
