"""What the items of a criterion add to the variance of a weighted sum of gains."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.inference.procedures import item_moments
from analysis.inference.units import BATCHES


@dataclass(frozen=True)
class PointGains:
    """The gains of one point, unit by unit.

    Attributes:
        units: what is random: edit batches, or seeds; each stands for distinct weights.
        gains: of the forward order in each unit, shape (units,).
        kind: what they are: "edit batches", "seeds", or "this batch only", where they are seeds of
            a single batch.
        items: the gain of each item, an array per unit; None where they are not known.
        sample: what the items are a sample of: "nested" where every unit has some of its own
            (edits), "crossed" where all units have the same (questions), "exact" where the
            criterion is no mean over a sample.
        criterion: its name; items at equal places of a unit are the same at all levels.
        bounded: whether an item's score lies in [0, 1].
        of_edits: whether the items belong to edits, which several criteria judge.
    """

    units: tuple[Hashable, ...]
    gains: np.ndarray
    kind: str = BATCHES
    items: tuple[np.ndarray, ...] | None = None
    sample: str = "exact"
    criterion: str = ""
    bounded: bool = True
    of_edits: bool = False


Counting = Sequence[tuple[float, PointGains]]  # each point that counts, with its part of the sum


def variance_of_questions(counting: Counting) -> tuple[float, bool]:
    """Return the variance that other questions would add to a sum over units.

    Where all units have the same items, these do not average out over units.

    Returns:
        The variance, and whether it is known for all questions, and there are some.
    """
    variances = [_crossed_variance(points) for points in _by_criterion(counting, "crossed")]
    known = [variance for variance in variances if variance is not None]
    return sum(known), bool(variances) and len(known) == len(variances)


def variance_over_items(counting: Counting) -> tuple[float, int]:
    """Return the variance that items alone give a sum, and the fewest of a point.

    Items of different criteria are taken for independent, unless they are edits: these are judged
    by several criteria, so that the deviations of their sums are added (an upper bound).

    Returns:
        (NaN, 0) where a point of a sample has no items.
    """
    sampled = [(part, point) for part, point in counting if point.sample != "exact"]
    if not sampled or any(point.items is None for _, point in sampled):
        return math.nan, 0
    fewest = min(len(row) for _, point in sampled for row in point.items or ())
    deviations, variance = 0.0, 0.0
    for points in _by_criterion(sampled, "nested"):
        deviations += math.sqrt(_nested_variance(points))
    for points in _by_criterion(sampled, "crossed"):
        table = _sum_of_items(points)
        if table is None:
            return math.nan, 0
        of_items = float(table.mean(0).var(ddof=1)) / table.shape[1]
        of_items += _pseudo_counts(points, table.shape[1])
        if points[0][1].of_edits:
            deviations += math.sqrt(of_items)
        else:
            variance += of_items
    return variance + deviations**2, fewest


def _by_criterion(counting: Counting, sample: str) -> list[list[tuple[float, PointGains]]]:
    """Return the points of a kind of sample, a list per criterion."""
    points_of = defaultdict(list)
    for part, point in counting:
        if point.sample == sample:
            points_of[point.criterion].append((part, point))
    return list(points_of.values())


def _nested_variance(points: Counting) -> float:
    """Return the variance that items which each unit has of its own give the sum.

    NaN where some unit or level lacks items.
    """
    sums: dict[Hashable, np.ndarray] = {}
    for part, point in points:
        if point.items is None:
            return math.nan
        for unit, row in zip(point.units, point.items, strict=True):
            total = sums.get(unit)
            if total is not None and len(total) != len(row):
                return math.nan
            sums[unit] = part * row if total is None else total + part * row
    variances = [float(total.var(ddof=1)) / len(total) for total in sums.values()]
    count = len(next(iter(sums.values())))
    return (float(np.mean(variances)) + _pseudo_counts(points, count)) / len(sums)


def _pseudo_counts(points: Counting, items: int) -> float:
    """Return the variance of half an item in each of the four cells of a paired table.

    Without it, items that are all alike (a saturated criterion) would be measured exactly: Agresti
    and Min 2005, "Simple improved confidence intervals for comparing matched proportions".
    """
    if not points[0][1].bounded:
        return 0.0
    return float((sum(part for part, _ in points) / items) ** 2)


def _sum_of_items(points: Counting) -> np.ndarray | None:
    """Return the weighted sum of items that all units have, shape (units, items).

    None where some unit or level lacks items.
    """
    first = points[0][1]
    shapes = {
        (point.units, tuple(map(len, point.items))) if point.items is not None else None
        for _, point in points
    }
    if len(shapes) > 1 or first.items is None or len(set(map(len, first.items))) > 1:
        return None
    return np.sum([part * np.stack(point.items or ()) for part, point in points], axis=0)


def _crossed_variance(points: Counting) -> float | None:
    """Return the variance that the choice of the items adds to the mean over units.

    That of the items' means, less what item and unit do together, which is in the variance between
    units already. None where some unit or level lacks items.
    """
    table = _sum_of_items(points)
    if table is None or len(table) < 2:
        return None
    of_items, residual = item_moments(table)
    return max(float(of_items) - float(residual) / len(table), 0.0)
