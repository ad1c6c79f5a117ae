"""Weighted sums of several points' values, unit by unit: areas over levels, means over pairs."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from analysis.inference.item_scores import PointItems
from analysis.inference.procedures import Moments, item_moments
from analysis.inference.units import BATCHES, ONE_BATCH, Units

# (position of a point, weight of its forward value, weight of its backward value)
Term = tuple[int, float, float]


class Combiner:
    """Adds up points, unit by unit.

    Args:
        units: of the points.
        points: rows of ``composability.point``.
        items: of ``items_of_points``.
    """

    def __init__(
        self, units: Units, points: pd.DataFrame, items: Iterable[PointItems] = ()
    ) -> None:
        self._units = units
        self._numbers, self._columns = points.point.to_numpy(), units.columns_of(points)
        self._is_infinite = units.is_infinite[self._numbers, self._columns]
        facts = units.orders.catalogue.criteria
        is_nested = points.criterion.map(lambda name: facts[name].items == "nested").to_numpy(bool)
        is_exact = points.criterion.map(lambda name: facts[name].items == "exact").to_numpy(bool)
        kinds = units.kinds[self._numbers]
        self._is_crossed = ~is_exact & ~(is_nested & (kinds == BATCHES))
        self._is_sample = kinds != ONE_BATCH
        self._items = {each.position: each for each in items}
        # the units of each point, by their names
        self._order = np.lexsort((units.names, units.point))
        sizes = np.bincount(units.point, minlength=len(units.kinds))
        self._bounds = np.append(0, sizes.cumsum())

    def units_of(self, position: int) -> np.ndarray:
        """Return the units of a point that have its criterion in both orders, by their names."""
        if self._is_infinite[position]:
            return np.zeros(0, dtype=int)
        start, end = self._bounds[self._numbers[position] : self._numbers[position] + 2]
        units, column = self._order[start:end], self._columns[position]
        return units[~np.isnan(self._units.forward[units, column])]

    def means(self, position: int) -> tuple[float, float]:
        """Return the mean over its units of a point's value in both orders."""
        units, column = self.units_of(position), self._columns[position]
        forward, backward = self._units.forward, self._units.backward
        return float(forward[units, column].mean()), float(backward[units, column].mean())

    def moments(self, sums: Sequence[Sequence[Term]]) -> Moments:
        """Return the moments of weighted sums of points, over the units that all of these have.

        The items count where they are crossed with the units, are those of every point of a sum,
        and their scores are known.

        Args:
            sums: the terms of each.
        """
        count = len(sums)
        sizes = np.array([len(terms) for terms in sums], dtype=int)
        row = np.repeat(np.arange(count), sizes)
        terms = [term for terms in sums for term in terms]
        positions = np.array([position for position, *_ in terms], dtype=int)
        by_unit = self._by_unit(row, sizes, terms)
        groups = by_unit.groupby("row").value
        units = groups.count().reindex(range(count), fill_value=0).to_numpy()
        scale = by_unit.groupby("row").scale.mean().reindex(range(count)).to_numpy()
        nothing = np.zeros(count)
        moments = Moments(
            mean=groups.mean().reindex(range(count)).to_numpy(),
            scale=scale,
            units=units,
            is_sample=_all_of(row, self._is_sample[positions], count),
            variance=groups.var(ddof=1).reindex(range(count)).to_numpy(),
            crossed=~_all_of(row, ~self._is_crossed[positions], count),
            bounded=np.zeros(count, dtype=bool),
            items=np.zeros(count, dtype=int),
            total=nothing,
            squares=nothing,
            differing=nothing,
            single=False,
            item_variance=np.full(count, np.nan),
            residual=np.full(count, np.nan),
        )
        for number, terms_of_sum in enumerate(sums):
            table = self._items_of_sum(terms_of_sum) if moments.crossed[number] else None
            if table is not None:
                moments.items[number] = table.shape[1]
                of_items, residual = item_moments(table)
                moments.item_variance[number], moments.residual[number] = of_items, residual
        return moments

    def _by_unit(self, row: np.ndarray, sizes: np.ndarray, terms: list[Term]) -> pd.DataFrame:
        """Return ``row, value, scale`` of each sum and unit that all points of the sum have."""
        positions = np.array([position for position, *_ in terms], dtype=int)
        weights = np.array([weights for _, *weights in terms], dtype=float).reshape(len(terms), 2)
        numbers, columns = self._numbers[positions], self._columns[positions]
        counts = self._bounds[numbers + 1] - self._bounds[numbers]
        starts = np.repeat(self._bounds[numbers] - np.cumsum(counts) + counts, counts)
        units = self._order[starts + np.arange(counts.sum())]
        columns, of_term = np.repeat(columns, counts), np.repeat(np.arange(len(terms)), counts)
        forward = weights[of_term, 0] * self._units.forward[units, columns]
        backward = weights[of_term, 1] * self._units.backward[units, columns]
        by_term = pd.DataFrame(
            {
                "row": row[of_term],
                "name": self._units.names[units],
                "value": forward + backward,
                "scale": np.abs(forward) + np.abs(backward),
            }
        )
        is_known = ~np.isnan(by_term.value.to_numpy())
        by_term = by_term[is_known & ~self._is_infinite[positions][of_term]]
        summed = by_term.groupby(["row", "name"]).agg(
            value=("value", "sum"), scale=("scale", "sum"), terms=("value", "size")
        )
        summed = summed.reset_index()
        return summed[summed.terms.to_numpy() == sizes[summed.row.to_numpy()]]

    def _items_of_sum(self, terms: Sequence[Term]) -> np.ndarray | None:
        """Return a sum of every item in every unit, (units, items); None where it is not known."""
        stored = [self._items.get(position) for position, *_ in terms]
        first = stored[0]
        if first is None:
            return None
        names = self._common_names(position for position, *_ in terms)
        tables = []
        for (position, weight, opposite), each in zip(terms, stored, strict=True):
            same = each is not None and each.crossed and np.array_equal(each.codes, first.codes)
            if each is None or not same or not len(names):
                return None
            # items come in the order of the units' numbers
            units = self.units_of(position)
            named = units[np.isin(self._units.names[units], names)]
            rows = np.searchsorted(np.sort(units), named)
            forward, backward = np.stack(each.forward), np.stack(each.backward)
            tables.append((weight * forward + opposite * backward)[rows])
        return np.sum(tables, axis=0)

    def _common_names(self, positions: Iterable[int]) -> np.ndarray:
        """Return the names of the units that all of some points have, sorted."""
        names = [self._units.names[self.units_of(position)] for position in positions]
        return functools.reduce(np.intersect1d, names)


def _all_of(row: np.ndarray, holds: np.ndarray, count: int) -> np.ndarray:
    """Return for each sum whether something holds for all of its points."""
    fails = np.bincount(row[~holds], minlength=count)
    return fails == 0
