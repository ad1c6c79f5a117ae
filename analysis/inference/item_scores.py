"""The scores of items in both orders of a point, scaled so that their mean is the criterion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.inference.units import BATCHES, Units
from interventions.arguments import check_columns

_TOLERANCE = 1e-6  # of a criterion's value, against what its items say that it is
_LOG_TOLERANCE = 0.1  # nats, likewise for the exponential of a mean: windows have unequal lengths
_FEWEST = 2  # items for a variance
_ORDERS = ("forward", "backward")


@dataclass(frozen=True)
class PointItems:
    """The items of one point.

    Attributes:
        position: of the point in the table of points.
        crossed: whether all units have the same items; then those at equal positions are equal.
        forward: scores of each unit, means over its runs, each of shape (items,).
        backward: after the opposite order; equal items at equal positions.
        codes: of the items, where these are crossed; equal at every point.
    """

    position: int
    crossed: bool
    forward: list[np.ndarray]
    backward: list[np.ndarray]
    codes: np.ndarray


@dataclass(frozen=True)
class _RunScores:
    """The items of one run and criterion: codes of their ids, and their scores."""

    codes: np.ndarray
    scores: np.ndarray


class _Scores:
    """The items of all runs, by run and criterion.

    Attributes:
        prefixes: for each code of an id, a code of its text before the first slash; -1 without.
    """

    def __init__(self, items: pd.DataFrame) -> None:
        codes, ids = pd.factorize(items.item.astype(str))
        parts = pd.Series(ids, dtype=object).str.partition("/")
        self.prefixes = np.where(parts[1] == "/", pd.factorize(parts[0])[0], -1)
        scores = items.score.to_numpy(float)
        groups = items.groupby(["run_id", "criterion"]).indices
        self._of_run = {key: _RunScores(codes[rows], scores[rows]) for key, rows in groups.items()}

    def of(self, run_id: str, criterion: str, value: float, nested: bool) -> _RunScores | None:
        """Return the items of a run, with a mean equal to ``value``; None where that cannot be."""
        stored = self._of_run.get((run_id, criterion))
        if stored is None or not np.isfinite(stored.scores).all():
            return None
        scores, prefixes = stored.scores, self.prefixes[stored.codes]
        mean = scores.mean()
        has_groups = bool((prefixes >= 0).all())
        if abs(mean - value) <= _TOLERANCE * max(1.0, abs(value)):
            if nested and has_groups:
                # the questions about one edit are no sample of their own
                groups, group = np.unique(prefixes, return_inverse=True)
                sums = np.bincount(group, weights=scores)
                return _RunScores(groups, sums * len(groups) / len(scores))
            return stored
        if has_groups:
            _, group, sizes = np.unique(prefixes, return_inverse=True, return_counts=True)
            weighted = scores * len(scores) / (len(sizes) * sizes[group])
            if abs(weighted.mean() - value) <= _TOLERANCE * max(1.0, abs(value)):
                return _RunScores(stored.codes, weighted)
        if value > 0 and abs(np.log(value) - mean) <= _LOG_TOLERANCE:
            # delta method: exp'(x) = exp(x)
            return _RunScores(stored.codes, value * (1 + scores - mean))
        return None


def items_of_points(
    units: Units, points: pd.DataFrame, items: pd.DataFrame | None
) -> list[PointItems]:
    """Return the items of every point whose runs all have some.

    Points are left out whose criterion is no function of its items' mean: of them, of groups of
    them of unequal size, or the exponential of it.

    Args:
        units: of the points.
        points: rows of ``composability.point``.
        items: rows of ``tracking.query.items``, of the last step; None where none were read.

    Raises:
        InvalidInput: the items lack a column.
    """
    if items is None or items.empty:
        return []
    check_columns("items", items, ("run_id", "criterion", "item", "score"))
    point_items = []
    facts, frame = units.orders.catalogue.criteria, units.orders.frame
    scores = _Scores(items)
    run_ids = units.orders.runs.run_id.to_numpy()
    rows_of_point = frame.groupby("point").indices
    sides = {order: frame[order].to_numpy() for order in _ORDERS}
    values = {order: units.orders.values(order, units.criteria) for order in _ORDERS}
    batches = pd.factorize(frame.edit_batch)[0]
    keys = zip(points.point, points.criterion, units.columns_of(points), strict=True)
    for position, (number, criterion, column) in enumerate(keys):
        if facts[criterion].items == "exact" or units.is_infinite[number, column]:
            continue
        nested = facts[criterion].items == "nested"
        rows = rows_of_point[number]
        is_finite = [np.isfinite(values[order][rows, column]) for order in _ORDERS]
        rows = rows[np.logical_and(*is_finite)]
        scores_of_order: dict[str, list[_RunScores]] = {order: [] for order in _ORDERS}
        for order, row in ((order, row) for row in rows for order in _ORDERS):
            value = values[order][row, column]
            stored = scores.of(run_ids[sides[order][row]], criterion, value, nested)
            if stored is None:
                break
            # the edits of two batches are others though they have the same numbers
            shift = batches[row] * len(scores.prefixes) if nested else 0
            scores_of_order[order].append(_RunScores(stored.codes + shift, stored.scores))
        if 0 < len(rows) == len(scores_of_order["backward"]):
            by_batch = nested and units.kinds[number] == BATCHES
            unit_scores = _by_unit(scores_of_order, units.unit[rows], not by_batch)
            if unit_scores is not None:
                point_items.append(PointItems(position, not by_batch, *unit_scores))
    return point_items


def _by_unit(
    scores_of_order: dict[str, list[_RunScores]], unit_of_row: np.ndarray, crossed: bool
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray] | None:
    """Return the mean scores of each unit in both orders, and the codes of the first unit's items.

    None where too few items are common.
    """
    unit_codes: list[np.ndarray] = []
    unit_scores: list[dict[str, np.ndarray]] = []
    for unit in np.unique(unit_of_row):
        rows = np.flatnonzero(unit_of_row == unit)
        merged = {
            order: _mean([of_rows[row] for row in rows])
            for order, of_rows in scores_of_order.items()
        }
        codes = np.intersect1d(merged["forward"].codes, merged["backward"].codes)
        unit_codes.append(codes)
        unit_scores.append({order: _at(scored, codes) for order, scored in merged.items()})
    if crossed:
        common = unit_codes[0]
        for codes in unit_codes[1:]:
            common = np.intersect1d(common, codes)
        for position, codes in enumerate(unit_codes):
            is_common = np.isin(codes, common)
            scored = unit_scores[position]
            unit_scores[position] = {order: scored[order][is_common] for order in _ORDERS}
        unit_codes = [common] * len(unit_codes)
    if min(map(len, unit_codes)) < _FEWEST:
        return None
    forward, backward = ([scored[order] for scored in unit_scores] for order in _ORDERS)
    return forward, backward, unit_codes[0]


def _mean(of_rows: list[_RunScores]) -> _RunScores:
    """Return the mean score of each item over some runs, sorted by the item's code."""
    codes = np.concatenate([each.codes for each in of_rows])
    scores = np.concatenate([each.scores for each in of_rows])
    distinct, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    return _RunScores(distinct, np.bincount(place, weights=scores) / counts)


def _at(scored: _RunScores, codes: np.ndarray) -> np.ndarray:
    positions: np.ndarray = np.searchsorted(scored.codes, codes)
    return scored.scores[positions]
