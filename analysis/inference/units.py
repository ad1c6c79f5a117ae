"""Which runs are one replicate: a test may count distinct weights, and nothing else.

Runs with equal weights are one unit whatever their seeds. A pair that reads edits is replicated by
batches of edits: its seeds within a batch are averaged first, as they share the batch. Any other
pair has the same weights in every batch, and is replicated by seeds, where a step is random.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from analysis.metrics.align import NO_RUN, Orders, both_orders
from analysis.metrics.groups import category_of
from interventions.errors import InvalidInput

BATCHES, SEEDS, ONE_BATCH = "edit batches", "seeds", "this batch only"
_HASHES = ("weights", "checksum")  # columns that tell the weights of a run, the better one first
_NO_CODE = -1  # of a row that is linked to none by equal codes; below all codes


@dataclass(frozen=True)
class Units:
    """The units of every point, and the values of both orders in each.

    Attributes:
        orders: the runs of both orders; its frame has a row per point and replicate.
        unit: the unit of each row of the frame; a unit belongs to one point, shape (rows,).
        point: the point of each unit, shape (units,).
        names: a code of each unit, equal for the same batch of edits (or the same seed) at another
            point, shape (units,).
        kinds: what the units of each point are: ``BATCHES``, ``SEEDS``, or ``ONE_BATCH``, where
            they are seeds of a pair that was run on one batch of edits, shape (points,).
        criteria: names of the columns of the values.
        forward: the mean of each unit's runs, NaN where an order lacks it, (units, criteria).
        backward: of the opposite order, likewise.
        is_infinite: whether a run of either order is infinite, (points, criteria).
    """

    orders: Orders
    unit: np.ndarray
    point: np.ndarray
    names: np.ndarray
    kinds: np.ndarray
    criteria: list[str]
    forward: np.ndarray
    backward: np.ndarray
    is_infinite: np.ndarray

    def columns_of(self, points: pd.DataFrame) -> np.ndarray:
        """Return the column of each point's criterion, shape (rows of ``points``,)."""
        column_of = {name: column for column, name in enumerate(self.criteria)}
        return points.criterion.map(column_of).to_numpy(int)


def collect_units(runs: pd.DataFrame, points: pd.DataFrame) -> Units:
    """Return the units of every point.

    Args:
        runs: what ``points`` were computed from.
        points: rows of ``composability.point``.

    Raises:
        InvalidInput: the points were computed from other runs.
    """
    orders = both_orders(runs)
    _check_points(orders, points)
    criteria = list(dict.fromkeys(points.criterion))
    unit, kinds = _unit_of_row(orders)
    numbers = orders.frame.point.to_numpy()
    point = np.zeros(unit.max() + 1, dtype=int)
    point[unit] = numbers
    forward, backward = orders.values("forward", criteria), orders.values("backward", criteria)
    is_paired = ~(np.isnan(forward) | np.isnan(backward))
    is_infinite = np.zeros((len(kinds), len(criteria)), dtype=bool)
    np.logical_or.at(is_infinite, numbers, is_paired & (np.isinf(forward) | np.isinf(backward)))
    is_finite = is_paired & np.isfinite(forward) & np.isfinite(backward)
    first, second = (
        pd.DataFrame(np.where(is_finite, values, np.nan)).groupby(unit).mean().to_numpy()
        for values in (forward, backward)
    )
    names = _names(orders.frame, unit, kinds[numbers] == BATCHES)
    return Units(orders, unit, point, names, kinds, criteria, first, second, is_infinite)


def _check_points(orders: Orders, points: pd.DataFrame) -> None:
    """Raise InvalidInput unless the points' numbers mean the same runs here."""
    run_ids = orders.runs.run_id.to_numpy()
    frame = orders.frame
    expected: dict[int, set[str]] = {}
    columns = (frame[name].tolist() for name in ("point", "forward", "backward"))
    for number, *sides in zip(*columns, strict=True):
        ids = expected.setdefault(number, set())
        ids.update(run_ids[side] for side in sides if side != NO_RUN)
    once = points.drop_duplicates("point")
    for number, first, second in zip(
        once.point, once.forward_runs, once.backward_runs, strict=True
    ):
        unknown = {*first, *second} - expected.get(int(number), set())
        if unknown:
            raise InvalidInput(
                f"points must be computed from these runs, but point {number} has run"
                f" {min(unknown)}, which is not one of its runs here"
            )


def _unit_of_row(orders: Orders) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit of each row of the frame, and the kind of each point's units."""
    frame, points = orders.frame, orders.frame.point.to_numpy()
    is_paired = ((frame.forward != NO_RUN) & (frame.backward != NO_RUN)).to_numpy()
    weights, is_hash = _weights_of_row(orders, is_paired)
    reads_edits = _reads_edits(orders, weights, is_paired)
    batches = pd.DataFrame({"point": points, "batch": frame.edit_batch})[is_paired]
    has_batches = np.zeros(len(reads_edits), dtype=bool)
    counts = batches.groupby("point").batch.nunique()
    has_batches[counts.index] = counts > 1
    kinds = np.where(reads_edits, np.where(has_batches, BATCHES, ONE_BATCH), SEEDS)
    by_batch = (reads_edits & has_batches)[points]
    key = np.where(by_batch, frame.edit_batch, frame.seed)
    edges = [_codes(points, key)]
    # other edits make other weights: there, equal values of two batches are a coincidence
    linked = (weights >= 0) & (is_hash | ~by_batch)
    edges.append(np.where(linked, _codes(points, weights), _NO_CODE))
    values = _codes(points, frame.edit_batch, _value_codes(orders, list(orders.criteria)))
    edges.append(np.where(~by_batch & ~is_hash, values, _NO_CODE))
    return _components(len(frame), edges), kinds


def _names(frame: pd.DataFrame, unit: np.ndarray, by_batch: np.ndarray) -> np.ndarray:
    """Return a code per unit: of its batch where these are the units, else of its seed."""
    number = np.where(by_batch, frame.edit_batch, frame.seed)
    named = pd.DataFrame({"unit": unit, "by_batch": by_batch, "number": number})
    # of units that several batches or seeds came to, the first one names it
    first = named.sort_values(["unit", "number"]).drop_duplicates("unit")
    return _codes(first.by_batch, first.number)


def _weights_of_row(orders: Orders, is_paired: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a code per row that is equal for equal weights, below 0 where nothing tells them.

    That is the runs' hashes of the weights. Runs of before have none: there it is the values of
    all criteria that are measured on the same data in every batch; and whether it is a hash.
    """
    runs, frame = orders.runs, orders.frame
    codes = np.full(len(frame), _NO_CODE)
    for column in _HASHES:
        if column in runs:
            hashes = np.append(pd.factorize(runs[column], use_na_sentinel=True)[0], _NO_CODE)
            first, second = hashes[frame.forward], hashes[frame.backward]
            is_known = (first >= 0) & (second >= 0)
            # a hash is used for a point only if all of its rows have one
            all_known = pd.Series(is_known | ~is_paired).groupby(frame.point).transform("all")
            usable = all_known.to_numpy() & (codes < 0)
            codes = np.where(usable, _codes(first, second), codes)
    is_hash = codes >= 0
    facts = orders.catalogue.criteria
    shared = [name for name in orders.criteria if facts[name].items != "nested"]
    values = _value_codes(orders, shared)
    return np.where(is_hash, codes, values), is_hash


def _value_codes(orders: Orders, criteria: list[str]) -> np.ndarray:
    """Return a code per row that is equal for equal values of some criteria in both orders."""
    if not criteria:
        return np.full(len(orders.frame), _NO_CODE)
    values = np.hstack([orders.values(order, criteria) for order in ("forward", "backward")])
    frame = pd.DataFrame(values).fillna(-np.inf)
    codes = pd.factorize(pd.util.hash_pandas_object(frame, index=False))[0]
    return np.where(np.isnan(values).all(axis=1), _NO_CODE, codes)


def _reads_edits(orders: Orders, weights: np.ndarray, is_paired: np.ndarray) -> np.ndarray:
    """Return for each point whether its weights depend on the batch of edits, shape (points,)."""
    frame = orders.frame
    once = frame.drop_duplicates("point")
    edits = np.zeros(len(once), dtype=bool)
    for side in ("intervention", "partner"):
        categories = once[side].map(lambda name: category_of(name, orders.catalogue))
        edits |= (categories == "editing").to_numpy()
    told = pd.DataFrame({"point": frame.point, "seed": frame.seed, "weights": weights})
    told = told[is_paired & (weights >= 0)]
    distinct = told.groupby(["point", "seed"]).weights.nunique()
    changing = distinct[distinct > 1].index.get_level_values("point").unique()
    edits[changing] = True
    return edits


def _codes(*columns: np.ndarray | pd.Series) -> np.ndarray:
    """Return one code per row that is equal where all columns are."""
    frame = pd.DataFrame(dict(enumerate(map(np.asarray, columns))))
    return frame.groupby(list(frame.columns), sort=False).ngroup().to_numpy()


def _components(rows: int, edges: list[np.ndarray]) -> np.ndarray:
    """Return one label for rows that are linked by an equal code, directly or through others."""
    links, offset = [], rows
    for codes in edges:
        is_link = codes >= 0
        links.append((np.flatnonzero(is_link), codes[is_link] + offset))
        offset += int(codes.max(initial=-1)) + 1
    starts, ends = (np.concatenate(side) for side in zip(*links, strict=True))
    graph = coo_array((np.ones(len(starts)), (starts, ends)), shape=(offset, offset))
    _, labels = connected_components(graph, directed=False)
    return np.unique(labels[:rows], return_inverse=True)[1]
