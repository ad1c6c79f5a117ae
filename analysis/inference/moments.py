"""Gather the moments from which intervals and tests follow: over units, and over their items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.inference.item_scores import PointItems
from analysis.inference.procedures import Moments, item_moments, sums_of_items
from analysis.inference.units import BATCHES, ONE_BATCH, Units
from analysis.labels import SHARES

_HALF = 0.5  # the middle of a criterion within 0 and 1


def moments_of_gains(units: Units, points: pd.DataFrame, items: Sequence[PointItems]) -> Moments:
    """Return the moments of forward - backward, whichever direction is better.

    Args:
        units: of the points.
        points: rows of ``composability.point``.
        items: of ``items_of_points``.
    """
    of_units = _moments_of_units(units, points, units.forward - units.backward)
    differences = []
    for each in items:
        sides = zip(each.forward, each.backward, strict=True)
        of_item = [forward - backward for forward, backward in sides]
        differences.append((each.position, each.crossed, of_item))
    return _with_items(of_units, differences)


def moments_of_order(
    units: Units, points: pd.DataFrame, items: Sequence[PointItems], order: str
) -> tuple[Moments, np.ndarray]:
    """Return the moments of one order's values, and what to add to its interval's ends.

    Args:
        units: of the points.
        points: rows of ``composability.point``.
        items: of ``items_of_points``.
        order: "forward" or "backward".

    Returns:
        The moments of the values less 1/2, in criteria within 0 and 1, and of the others'; and
        what was taken away, shape (points,).
    """
    shift = np.where(points.unit.isin(SHARES), _HALF, 0.0)
    values = getattr(units, order)
    shift_of_column = np.zeros(len(units.criteria))
    shift_of_column[units.columns_of(points)] = shift
    of_units = _moments_of_units(units, points, values - shift_of_column)
    shifted = [
        (each.position, each.crossed, [s - shift[each.position] for s in getattr(each, order)])
        for each in items
    ]
    return of_one_order(_with_items(of_units, shifted)), shift


def of_one_order(moments: Moments) -> Moments:
    """Return moments of scores less 1/2 as what they are: of one order, not of a difference."""
    # how many items lie at the other end than most
    distance = moments.items * _HALF - np.abs(moments.total)
    return replace(moments, differing=distance, single=True)


def _moments_of_units(units: Units, points: pd.DataFrame, values: np.ndarray) -> Moments:
    """Return the moments of values of shape (units, criteria), without items."""
    numbers, columns = points.point.to_numpy(), units.columns_of(points)
    groups = pd.DataFrame(values).groupby(units.point)
    means = groups.transform("mean").to_numpy()
    counts = groups.count().to_numpy()
    squares = pd.DataFrame((values - means) ** 2).groupby(units.point).sum().to_numpy()
    size = pd.DataFrame(np.abs(units.forward) + np.abs(units.backward))
    scale = size.groupby(units.point).mean().to_numpy()
    with np.errstate(all="ignore"):  # one unit: 0 / 0
        variance = np.where(counts > 1, squares / np.maximum(counts - 1, 1), np.nan)
    is_finite = ~units.is_infinite[numbers, columns]
    mean = groups.mean().to_numpy()[numbers, columns]
    facts = units.orders.catalogue.criteria
    nested = points.criterion.map(lambda name: facts[name].items == "nested").to_numpy(bool)
    nothing = np.zeros(len(points))
    return Moments(
        mean=np.where(is_finite, mean, np.nan),
        scale=scale[numbers, columns],
        units=np.where(is_finite, counts[numbers, columns], 0),
        is_sample=units.kinds[numbers] != ONE_BATCH,
        variance=np.where(is_finite, variance[numbers, columns], np.nan),
        crossed=~(nested & (units.kinds[numbers] == BATCHES)),
        bounded=points.unit.isin(SHARES).to_numpy(),
        items=nothing.astype(int),
        total=nothing,
        squares=nothing,
        differing=nothing,
        single=False,
        item_variance=np.full(len(points), np.nan),
        residual=np.full(len(points), np.nan),
    )


def _with_items(moments: Moments, items: Sequence[tuple[int, bool, list[np.ndarray]]]) -> Moments:
    """Return the moments with those of items: (position, whether crossed, scores of each unit)."""
    names = ("items", "total", "squares", "item_variance", "residual", "bounded")
    columns = {name: getattr(moments, name).copy() for name in names}
    for position, crossed, scores in items:
        if np.isnan(moments.mean[position]):
            continue
        if crossed:
            of_items, residual = item_moments(np.stack(scores))
            values = np.mean(scores, axis=0)
        else:
            values = np.concatenate(scores)
            of_items, residual = values.var(ddof=1) / len(values), np.array(np.nan)
        columns["items"][position] = len(values)
        columns["total"][position], columns["squares"][position] = sums_of_items(values)
        columns["item_variance"][position], columns["residual"][position] = of_items, residual
        # of edits with more questions than others, a sum may be larger than one score
        columns["bounded"][position] &= bool((np.abs(values) <= 1).all())
    return replace(moments, differing=columns["squares"], **columns)


def moments_of_scores(scores: np.ndarray, crossed: bool, bounded: bool = True) -> Moments:
    """Return the moments of points whose units all have as many items, as one array.

    Args:
        scores: differences of items, shape (points, units, items).
        crossed: whether the items of all units are the same.
        bounded: whether the differences lie within -1 and 1.
    """
    points, units, items = scores.shape
    unit_means = scores.mean(axis=2)
    values = scores.mean(axis=1) if crossed else scores.reshape(points, units * items)
    total, squares = sums_of_items(values)
    of_items, residual = item_moments(scores)
    if not crossed:
        of_items = values.var(axis=1, ddof=1) / values.shape[1]
        residual = np.full(points, np.nan)
    variance = unit_means.var(axis=1, ddof=1) if units > 1 else np.full(points, np.nan)
    return Moments(
        mean=unit_means.mean(axis=1),
        scale=np.ones(points),
        units=np.full(points, units),
        is_sample=np.full(points, True),
        variance=variance,
        crossed=np.full(points, crossed),
        bounded=np.full(points, bounded),
        items=np.full(points, values.shape[1]),
        total=total,
        squares=squares,
        differing=squares,
        single=False,
        item_variance=of_items,
        residual=residual,
    )
