"""The gains of each point, unit by unit and item by item: what scores are made of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.inference.item_scores import PointItems, items_of_points
from analysis.inference.item_variance import PointGains
from analysis.inference.scores import gains
from analysis.inference.units import BATCHES, Units, collect_units
from analysis.labels import SHARES
from tracking.catalogue import CriterionFacts


def collect_gains(
    runs: pd.DataFrame, points: pd.DataFrame, items: pd.DataFrame | None = None
) -> dict[int, PointGains]:
    """Return the gains of each complete point, by its position in ``points``.

    Args:
        runs: what ``points`` were computed from.
        points: complete rows of ``composability.point``, index 0, 1, ….
        items: rows of ``tracking.query.items``, of the last step.
    """
    units = collect_units(runs, points)
    orders, criteria = units.orders, units.criteria
    facts = [orders.catalogue.criteria[name] for name in criteria]
    forward, backward = orders.values("forward", criteria), orders.values("backward", criteria)
    columns = [
        gains(fact.better, fact.unit, fact.chance, forward[:, column], backward[:, column])
        for column, fact in enumerate(facts)
    ]
    items_of = {each.position: each for each in items_of_points(units, points, items)}
    rows_of = orders.frame.groupby("point").indices
    gains_of = {}
    keys = zip(points.point, units.columns_of(points), strict=True)
    for position, (number, column) in enumerate(keys):
        rows = rows_of[number]
        rows = rows[~np.isnan(columns[column][rows])]
        if not len(rows):
            continue
        distinct, place = np.unique(units.unit[rows], return_inverse=True)
        with np.errstate(invalid="ignore"):  # infinite in both directions
            sums = np.bincount(place, weights=columns[column][rows])
        gains_of[position] = PointGains(
            units=tuple(units.names[distinct].tolist()),
            gains=sums / np.bincount(place),
            kind=str(units.kinds[number]),
            items=_item_gains(units, distinct, column, facts[column], items_of.get(position)),
            sample=_sample(facts[column], units, int(number)),
            criterion=criteria[column],
            bounded=facts[column].unit in SHARES,
            of_edits=facts[column].items == "nested",
        )
    return gains_of


def _sample(facts: CriterionFacts, units: Units, number: int) -> str:
    """Return what a point's items are a sample of: "nested", "crossed" or "exact"."""
    if facts.items == "exact":
        return "exact"
    # seeds of one batch have its edits in common
    is_nested = facts.items == "nested" and units.kinds[number] == BATCHES
    return "nested" if is_nested else "crossed"


def _item_gains(
    units: Units,
    distinct: np.ndarray,
    column: int,
    facts: CriterionFacts,
    items: PointItems | None,
) -> tuple[np.ndarray, ...] | None:
    """Return the gain of each item in each unit, so that their mean is the unit's gain.

    By the delta method: below chance nothing is gained, so an item changes nothing there; the
    halvings of a perplexity are log2 of it.
    """
    if items is None or len(items.forward) != len(distinct):
        return None
    rows = []
    for unit, first, second in zip(distinct, items.forward, items.backward, strict=True):
        values = (units.forward[unit, column], units.backward[unit, column])
        sides = [
            _item_worth(scores, float(value), facts)
            for scores, value in zip((first, second), values, strict=True)
        ]
        rows.append(sides[0] - sides[1])
    return tuple(rows)


def _item_worth(scores: np.ndarray, value: float, facts: CriterionFacts) -> np.ndarray:
    """Return how much each item is worth in the good direction, but for a constant."""
    sign = 1.0 if facts.better == "higher" else -1.0
    if facts.unit not in SHARES:
        return sign * scores / (value * np.log(2))
    is_at_chance = facts.better == "lower" and facts.chance is not None and value < facts.chance
    return np.zeros_like(scores) if is_at_chance else sign * scores
