"""Rank the pairs of a grid by how well they compose, by the numbers alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import labels
from analysis.metrics.composability import point
from analysis.metrics.groups import category_of
from analysis.metrics.measures import complete
from analysis.report.claims import claimed_criteria
from interventions.errors import InvalidInput
from tracking import query, schema
from tracking.catalogue import Catalogue


@dataclass(frozen=True)
class RankedPair:
    """One pair at one level.

    Attributes:
        pair: "ft + wanda".
        level: "sparsity 0.5"; "" where nothing has a level.
        best: the order with the smaller error: "ft → wanda"; "either" where they are equal.
        error: the order-free error, the mean over ``criteria``; smaller is better.
        sensitivity: the order sensitivity, the mean over ``criteria``.
        criteria: that judge the pair's work, and general ability.
        replicates: how many seeds and edit batches both orders have.
    """

    pair: str
    level: str
    best: str
    error: float
    sensitivity: float
    criteria: tuple[str, ...]
    replicates: int


def rank_sweep(experiment: str, sweep: str) -> list[RankedPair]:
    """Return the pairs of a grid's finished runs that have both orders, the best first.

    Args:
        experiment: where the runs are.
        sweep: the grid's name.
    """
    name = sweep.replace("'", "")
    filter = f"attributes.status = 'FINISHED' and tags.`{schema.SWEEP}` = '{name}'"
    runs = query.compositions(experiment, filter)
    try:
        return rank_pairs(runs)
    except InvalidInput:  # no pair in both orders
        return []


def rank_pairs(runs: pd.DataFrame) -> list[RankedPair]:
    """Return the pairs of some runs, the best first.

    The order-free error is the mean over the first criterion that judges each category of the pair,
    and the first that measures general ability: a destroyed model, which has forgotten all, is not
    the best at unlearning. Of criteria with a chance level, where lower is better, it is the
    adjusted one.

    Args:
        runs: rows of ``tracking.query.compositions``.

    Raises:
        InvalidInput: no pair was run in both orders.
    """
    catalogue = Catalogue.from_runs(runs)
    points = point(runs)
    judging = claimed_criteria(catalogue, list(points.criterion.unique()))
    points = points[complete(points) & points.criterion.isin(list(judging))]
    ranked = []
    for _, of_point in points.groupby("point", sort=False):
        first = of_point.iloc[0]
        categories = {category_of(str(first[side]), catalogue) for side in _SIDES}
        counts = of_point.criterion.map(judging).isin(categories | {""})
        ranked.append(_ranked(of_point[counts], first))
    return sorted((pair for pair in ranked if pair.criteria), key=lambda pair: pair.error)


_SIDES = ("intervention", "partner")


def _ranked(points: pd.DataFrame, first: Any) -> RankedPair:
    adjusted = points.order_free_error_adjusted
    errors = adjusted.where(adjusted.notna(), points.order_free_error)
    signs = points.better.map({"higher": 1.0, "lower": -1.0})
    lead = float((signs * (points.forward - points.backward)).mean())
    names = [str(first[side]) for side in _SIDES]
    order = names if lead > 0 else names[::-1]
    return RankedPair(
        pair=schema.pair_name(names),
        level=labels.levels_text(str(first.strength), [first.level]) if first.strength else "",
        best="either" if lead == 0 else labels.ARROW.join(order),
        error=float(errors.mean()),
        sensitivity=float(points.order_sensitivity.mean()),
        criteria=tuple(points.criterion),
        replicates=int(points.replicates.min()) if len(points) else 0,
    )


def ranking_criteria(ranked: Iterable[RankedPair]) -> list[str]:
    """Return the criteria that some pair is ranked by, each once."""
    return list(dict.fromkeys(name for pair in ranked for name in pair.criteria))
