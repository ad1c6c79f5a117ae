"""What can be resampled for a point: its edit batches and seeds, or the items of its criterion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.metrics.align import Orders, both_orders
from analysis.metrics.columns import REPLICATE
from tracking.schema import STDERR

# resampling fewer replicates says little (two have three distinct means): items are better then
MANY = 5
REPLICATES, ITEMS, EXACT = "edit batches and seeds", "items", "nothing: measured exactly"


@dataclass(frozen=True)
class Samples:
    """What is resampled for one point: a value per unit and order.

    Attributes:
        kind: REPLICATES, ITEMS or EXACT.
        units: what is resampled: (seed, edit batch), or an item's id.
        forward: values after the forward order, one per unit.
        backward: values after the backward order, equal units at equal positions.
    """

    kind: str
    units: tuple[Any, ...]
    forward: np.ndarray
    backward: np.ndarray


def collect_samples(
    runs: pd.DataFrame, points: pd.DataFrame, items: pd.DataFrame | None = None
) -> dict[int, Samples]:
    """Return the samples of each point that has some, by its position in ``points``.

    Replicates where a point has ``MANY``; else items, where they are given and the criterion is
    their mean (which perplexity is not); else replicates, if there are two.

    Args:
        runs: what ``points`` were computed from.
        points: rows of ``composability.point``.
        items: rows of ``tracking.query.items``, of the last step.
    """
    orders = both_orders(runs)
    over_replicates = _sample_replicates(orders, points)
    if items is None or items.empty:
        return over_replicates
    over_items = _sample_items(orders, points, items)
    chosen = over_replicates | over_items
    for position, sample in over_replicates.items():
        if len(sample.units) >= MANY:
            chosen[position] = sample
    return chosen


def count_units(sample: Samples) -> int:
    """Return how many units are resampled; 0 where the criterion is measured exactly."""
    return 0 if sample.kind == EXACT else len(sample.units)


def samples_in_words(samples: Mapping[int, Samples]) -> str:
    """Return what is resampled, as ``50 to 300 items``."""
    words = []
    for kind in (REPLICATES, ITEMS):
        sizes = [len(sample.units) for sample in samples.values() if sample.kind == kind]
        if not sizes:
            continue
        low, high = min(sizes), max(sizes)
        span = f"{low} to {high}" if low < high else f"{low}"
        caution = ", which says little" if kind == REPLICATES and low < MANY else ""
        words.append(f"{span} {kind}{caution}")
    return " and ".join(words) or EXACT


def _sample_replicates(orders: Orders, points: pd.DataFrame) -> dict[int, Samples]:
    criteria = list(points.criterion.unique())
    forward, backward = orders.values("forward", criteria), orders.values("backward", criteria)
    column_of = {name: column for column, name in enumerate(criteria)}
    units = list(orders.frame[REPLICATE].itertuples(index=False, name=None))
    rows_of = orders.frame.groupby("point", sort=False).indices
    samples = {}
    keys = zip(points.point, points.criterion, strict=True)
    for position, (number, criterion) in enumerate(keys):
        rows, column = rows_of[number], column_of[criterion]
        first, second = forward[rows, column], backward[rows, column]
        is_paired = np.isfinite(first) & np.isfinite(second)
        # a replicate with an infinite value makes the mean infinite: it has no interval
        is_infinite = np.isinf(first) | np.isinf(second)
        if is_paired.sum() > 1 and not is_infinite.any():
            paired_units = tuple(units[row] for row in rows[is_paired])
            samples[position] = Samples(
                REPLICATES, paired_units, first[is_paired], second[is_paired]
            )
    return samples


def _sample_items(orders: Orders, points: pd.DataFrame, items: pd.DataFrame) -> dict[int, Samples]:
    """Return the mean of each item over a point's replicates, in both orders."""
    columns = items[["run_id", "criterion", "item", "score"]]
    scores = dict(iter(columns.groupby(["run_id", "criterion"], sort=False)))
    exact = _exact_criteria(orders, points.criterion.unique())
    samples = {}
    for position, point in enumerate(points.itertuples()):
        if not point.replicates:
            # the orders have no edit batch in common: their items are not the same
            continue
        values: Any = (point.forward, point.backward)
        if point.criterion in exact:
            samples[position] = Samples(EXACT, (0, 1), *(np.full(2, value) for value in values))
            continue
        sides = [
            _mean_items(scores, run_ids, point.criterion)
            for run_ids in (point.forward_runs, point.backward_runs)
        ]
        common = pd.concat(sides, axis=1, join="inner").sort_index()
        # the bootstrap resamples a mean: another function of the items has no interval from them
        is_mean = np.allclose(common.mean().to_numpy(), values, rtol=0, atol=1e-6)
        if len(common) > 1 and np.isfinite(common.to_numpy()).all() and is_mean:
            first, second = common.to_numpy().T
            samples[position] = Samples(ITEMS, tuple(common.index), first, second)
    return samples


def _exact_criteria(orders: Orders, criteria: Iterable[str]) -> set[str]:
    """Return the criteria whose standard error is 0 in every run.

    They are measured on all weights, or equal in all items.
    """
    exact = set()
    for name in criteria:
        errors = orders.runs.get(f"{STDERR}{name}")
        if errors is not None and (errors == 0).all():
            exact.add(name)
    return exact


def _mean_items(scores: Mapping[Any, pd.DataFrame], run_ids: Any, criterion: Any) -> pd.Series:
    """Return the mean score of each item over some runs; empty if one of them has no items."""
    frames = [scores[run_id, criterion] for run_id in run_ids if (run_id, criterion) in scores]
    if len(frames) < len(run_ids) or not frames:
        return pd.Series(dtype=float)
    return pd.concat(frames).groupby("item").score.mean()
