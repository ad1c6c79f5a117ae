"""Differences between compositions, replicate by replicate: what the findings are tests of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

Term = tuple[float, str, str]  # weight, cell, criterion


class CannotTest(Exception):
    """The values do not allow a test; the message says why."""


class LacksCells(CannotTest):
    """A contrast needs compositions that were not run in enough replicates."""

    def __init__(self, cells: Iterable[str]) -> None:
        names = list(dict.fromkeys(cells))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        super().__init__(f"not run: {', '.join(names[:3])}{more}")


@dataclass(frozen=True)
class CellValues:
    """The criteria of every composition in every replicate.

    Attributes:
        table: a row per replicate (its number), a column per (cell, criterion); NaN where there is
            no run.
        weights: a hash of the last weights, likewise a column per cell; None where it is not known.
    """

    table: pd.DataFrame
    weights: pd.DataFrame | None = None

    @classmethod
    def from_runs(cls, runs: pd.DataFrame, criteria: Sequence[str]) -> CellValues:
        """Return the values of some runs, of which each cell and replicate has one.

        Args:
            runs: with ``cell``, ``replicate`` and the criteria; ``weights`` where known.
            criteria: names.
        """
        if runs.empty:
            return cls(pd.DataFrame(columns=pd.MultiIndex.from_tuples([], names=["cell", "name"])))
        long = runs.melt(["cell", "replicate"], list(criteria), "name", "value").dropna()
        table = long.pivot(index="replicate", columns=["cell", "name"], values="value")
        weights = None
        if "weights" in runs:
            weights = runs.pivot(index="replicate", columns="cell", values="weights")
        return cls(table, weights)

    def common(self, cells: Sequence[str], constant: Sequence[str] = ()) -> CellValues:
        """Return the values of some cells in the replicates that all of them have.

        Args:
            cells: names.
            constant: those whose single value holds for every replicate.

        Raises:
            LacksCells: a cell was not run at all.
        """
        known = set(self.table.columns.get_level_values(0))
        lacking = [cell for cell in cells if cell not in known]
        if lacking:
            raise LacksCells(lacking)
        table = self.table[list(dict.fromkeys(cells))].copy()
        is_constant = table.columns.get_level_values(0).isin(constant)
        table.loc[:, is_constant] = table.loc[:, is_constant].bfill().ffill()
        return CellValues(table.dropna(), self.weights)

    def columns(self, keys: Sequence[tuple[str, str]]) -> np.ndarray:
        """Return some columns.

        Args:
            keys: (cell, criterion) each.

        Returns:
            Shape (replicates, keys).
        """
        return self.table.loc[:, list(keys)].to_numpy(float)

    def distinct(self, cell: str) -> int:
        """Return how many replicates of a cell differ: equal ones are one.

        They differ in their weights where these are known of all, else in some criterion: a single
        criterion may be equal by chance.
        """
        if self.weights is not None and cell in self.weights:
            hashes = self.weights[cell].reindex(self.table.index)
            if hashes.notna().all():
                return int(hashes.nunique())
        return len(self.table[cell].round(10).drop_duplicates())


def weighted(values: CellValues, terms: Sequence[Term]) -> np.ndarray:
    """Return the weighted sum of some values in each replicate, shape (replicates,).

    Args:
        values: of the cells.
        terms: weight, cell and criterion of each.
    """
    columns = values.columns([(cell, criterion) for _, cell, criterion in terms])
    return columns @ np.array([weight for weight, _, _ in terms])


def clipped(
    values: CellValues, terms: Sequence[Term], least: float, of_items: bool = False
) -> np.ndarray:
    """Return a weighted sum of values that count at least so much: below chance nothing is won.

    Args:
        values: of the cells.
        terms: weight, cell and criterion of each.
        least: what a value counts at least.
        of_items: whether the replicates are items. One answer is right or wrong, so that only the
            mean of a cell can be below chance: such a cell then counts so much for every item.

    Returns:
        Shape (replicates,).
    """
    columns = values.columns([(cell, criterion) for _, cell, criterion in terms])
    if of_items:
        columns = np.where(columns.mean(0) < least, least, columns)
    else:
        columns = np.maximum(columns, least)
    return columns @ np.array([weight for weight, _, _ in terms])


def order_free_errors(
    values: CellValues, pairs: Sequence[tuple[str, str]], criterion: str
) -> np.ndarray:
    """Return 1 - the value of the better order, on average over pairs; shape (replicates,).

    The better order of each pair is chosen on all replicates together: chosen in each of them, the
    maximum of two noisy values would be too high.

    Args:
        values: of the cells.
        pairs: cells of both orders.
        criterion: where higher is better.
    """
    columns = values.columns([(cell, criterion) for pair in pairs for cell in pair])
    by_pair = columns.reshape(len(columns), len(pairs), 2)
    better = by_pair.mean(0).argmax(-1)  # (pairs,)
    chosen = np.take_along_axis(by_pair, better[None, :, None], axis=-1)
    errors: np.ndarray = 1 - chosen[..., 0].mean(1)
    return errors


def squared_differences(
    values: CellValues, pairs: Sequence[tuple[str, str]], criterion: str
) -> np.ndarray:
    """Return the squared difference between two orders, free of noise; shape (replicates,).

    The mean of the products of differences in two different replicates estimates the square without
    bias, however noisy each is, so that criteria of unlike precision can be compared. Each number
    is a replicate's pseudo-value of the jackknife: their mean is that estimate, and their spread
    gives its standard error.

    Args:
        values: of the cells.
        pairs: cells of both orders; the squares are averaged over them.
        criterion: name.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({("a | b", "x"): [0.6, 0.4, 0.5], ("b | a", "x"): [0.2, 0.2, 0.2]})
        >>> squares = squared_differences(CellValues(table), [("a | b", "b | a")], "x")
        >>> round(float(squares.mean()), 4)
        0.0867
    """
    keys = [(cell, criterion) for pair in pairs for cell in pair]
    columns = values.columns(keys)
    count = len(columns)
    if count < 3:
        return np.full(count, np.nan)
    gaps = columns[:, ::2] - columns[:, 1::2]  # (replicates, pairs)
    sums, squares = gaps.sum(0), (gaps**2).sum(0)
    whole = (sums**2 - squares) / (count * (count - 1))
    without = ((sums - gaps) ** 2 - (squares - gaps**2)) / ((count - 1) * (count - 2))
    pseudo_values: np.ndarray = (count * whole - (count - 1) * without).mean(1)
    return pseudo_values
