"""What can be resampled for a point: its edit batches and seeds, or the items that its criterion is the mean of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.metrics.align import REPLICATE, Orders, both_orders
from tracking.schema import STDERR

MANY = 5  # replicates; with fewer, resampling them says little (two have three distinct means), and items are better
REPLICATES, ITEMS, EXACT = "edit batches and seeds", "items", "nothing: measured exactly"


@dataclass(frozen=True)
class Samples:
    """What is resampled for one point: a value per unit and order, equal units at equal positions."""

    kind: str
    units: tuple[Any, ...]
    forward: np.ndarray
    backward: np.ndarray


def samples(
    runs: pd.DataFrame, points: pd.DataFrame, items: pd.DataFrame | None = None
) -> dict[int, Samples]:
    """Position in ``points`` to its samples; points with nothing to resample are not in it.

    Replicates where a point has ``MANY``; else items, where they are given and the criterion is their mean (which
    perplexity is not); else replicates, if there are two.

    Args:
        runs: what ``points`` were computed from.
        points: rows of ``composability.point``.
        items: rows of ``tracking.query.items``, of the last step.
    """
    orders = both_orders(runs)
    found = _replicates(orders, points)
    enough = {at for at, sample in found.items() if len(sample.units) >= MANY}
    over_items = _items(orders, points, items) if items is not None and len(items) else {}
    return found | {at: sample for at, sample in over_items.items() if at not in enough}


def size(sample: Samples) -> int:
    """How many units were resampled."""
    return 0 if sample.kind == EXACT else len(sample.units)


def described(taken: Mapping[int, Samples]) -> str:
    """What was resampled, in words: ``50 to 300 items``."""
    told = []
    for kind in (REPLICATES, ITEMS):
        sizes = [len(sample.units) for sample in taken.values() if sample.kind == kind]
        if sizes:
            few = ", which says little" if kind == REPLICATES and min(sizes) < MANY else ""
            span = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else f"{min(sizes)}"
            told.append(f"{span} {kind}{few}")
    return " and ".join(told) or EXACT


def _replicates(orders: Orders, points: pd.DataFrame) -> dict[int, Samples]:
    criteria = list(points.criterion.unique())
    forward, backward = orders.values("forward", criteria), orders.values("backward", criteria)
    column = {name: i for i, name in enumerate(criteria)}
    units = list(orders.frame[REPLICATE].itertuples(index=False, name=None))
    rows = orders.frame.groupby("point", sort=False).indices
    found = {}
    for at, (key, criterion) in enumerate(zip(points.point, points.criterion, strict=True)):
        these = rows[key]
        one, other = forward[these, column[criterion]], backward[these, column[criterion]]
        both = np.isfinite(one) & np.isfinite(other)
        # a replicate with an infinite value makes the mean infinite: it has no interval
        if both.sum() > 1 and not (np.isinf(one) | np.isinf(other)).any():
            chosen = tuple(
                unit for unit, there in zip((units[i] for i in these), both, strict=True) if there
            )
            found[at] = Samples(REPLICATES, chosen, one[both], other[both])
    return found


def _items(orders: Orders, points: pd.DataFrame, items: pd.DataFrame) -> dict[int, Samples]:
    """The mean of each item over a point's replicates, in both orders."""
    scores = {
        key: group
        for key, group in items.groupby(["run_id", "criterion"], sort=False)[["item", "score"]]
    }
    found = {}
    exact = _exact(orders, points.criterion.unique())
    names = ("criterion", "replicates", "forward_runs", "backward_runs", "forward", "backward")
    columns = [points[name] for name in names]
    for at, (criterion, replicates, forward, backward, *values) in enumerate(
        zip(*columns, strict=True)
    ):
        if not replicates:  # the orders have no edit batch in common: their items are not the same
            continue
        if criterion in exact:
            found[at] = Samples(EXACT, (0, 1), *(np.full(2, value) for value in values))
            continue
        sides = [_mean_items(scores, runs, criterion) for runs in (forward, backward)]
        both = pd.concat(sides, axis=1, join="inner").sort_index()
        means = both.mean().to_numpy()
        # the bootstrap resamples a mean: a criterion that is not the mean of its items has no interval from them
        if (
            len(both) > 1
            and np.isfinite(both.to_numpy()).all()
            and np.allclose(means, values, rtol=0, atol=1e-6)
        ):
            found[at] = Samples(
                ITEMS, tuple(both.index), both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy()
            )
    return found


def _exact(orders: Orders, criteria: Iterable[str]) -> set[str]:
    """Criteria whose standard error is 0 in every run: of weights, which are all measured, or equal in all items."""
    stated = {name: orders.runs.get(f"{STDERR}{name}") for name in criteria}
    return {name for name, errors in stated.items() if errors is not None and (errors == 0).all()}


def _mean_items(
    scores: Mapping[Any, pd.DataFrame], runs: tuple[str, ...], criterion: str
) -> pd.Series:
    """Item to its mean score over runs; empty if one of them has no items."""
    frames = [scores[run, criterion] for run in runs if (run, criterion) in scores]
    if len(frames) < len(runs) or not frames:
        return pd.Series(dtype=float)
    return pd.concat(frames).groupby("item").score.mean()
