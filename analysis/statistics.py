"""How sure: paired bootstrap intervals over edit batches and seeds, or over items (scipy's bootstrap, percentile).

Both orders, and all methods that share seeds, batches or items, are resampled together, so that what they have in
common cancels. Order sensitivity is the size of a difference: its interval is the difference's, folded at zero.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from analysis.orders import REPLICATE, Orders, both_orders
from analysis.points import MEASURES, Error
from interventions.registry import InvalidInput
from tracking.schema import STDERR

RESAMPLES = 1999
CONFIDENCE = 0.95
MANY = 5  # replicates; with fewer, resampling them says little (two have three distinct means), and items are better
REPLICATES, ITEMS, EXACT = "edit batches and seeds", "items", "nothing: measured exactly"
_VALUES = 4_000_000  # in memory at once


@dataclass(frozen=True)
class Samples:
    """What is resampled for one point: a value per unit and order, equal units at equal positions."""

    kind: str
    units: tuple[Any, ...]
    forward: np.ndarray
    backward: np.ndarray


def samples(runs: pd.DataFrame, points: pd.DataFrame, items: pd.DataFrame | None = None) -> dict[int, Samples]:
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


def check(confidence: float) -> None:
    """Raise InvalidInput if it is no share."""
    if not 0 < confidence < 1:
        raise InvalidInput(f"confidence must be between 0 and 1, but got {confidence}")


def intervals(
    runs: pd.DataFrame,
    points: pd.DataFrame,
    items: pd.DataFrame | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    error: Error = "best",
) -> pd.DataFrame:
    """Points with their intervals; ``error`` as they were computed with.

    Returns:
        ``points`` with ``…_low`` and ``…_high`` of both measures and of ``gain`` (how much better the forward order
        is, in the criterion's unit; negative: the backward one); ``sure``: the share of resamples in which the order
        that looks better is better; ``over``: what was resampled; ``units``: how many of them. NaN where there is
        nothing to resample, or a value is infinite.

    Raises:
        InvalidInput: the confidence is not between 0 and 1.
    """
    check(confidence)
    sign = _sign(points)
    with np.errstate(invalid="ignore"):  # two infinite values have no difference
        result = points.assign(gain=sign * (points.forward - points.backward) + 0.0, over="", units=0)
    named = [f"{m}_{end}" for m in (*MEASURES, "gain") for end in ("low", "high")]
    result[[*named, "sure"]] = np.nan
    columns = {name: result[name].to_numpy(float, copy=True) for name in (*named, "sure")}
    taken = samples(runs, points, items)
    for at, forward, backward, seed in _batches(taken):
        better = sign.to_numpy()[at]
        low, high, drawn = _bootstrap(forward, backward, better, confidence, resamples, seed, error)
        folded = np.where((low[1] <= 0) & (high[1] >= 0), 0, np.minimum(abs(low[1]), abs(high[1])))
        values = (low[0], high[0], folded, np.maximum(abs(low[1]), abs(high[1])), low[1], high[1])
        for name, value in zip(named, values, strict=True):
            columns[name][at] = value
        ahead = (drawn > 0).mean(-1) + (drawn == 0).mean(-1) / 2
        columns["sure"][at] = np.maximum(ahead, 1 - ahead)
    neither = sign.isna().to_numpy()
    for name in ("gain_low", "gain_high", "sure", f"{MEASURES[0]}_low", f"{MEASURES[0]}_high"):
        columns[name][neither] = np.nan
    columns["over"] = np.array([taken[at].kind if at in taken else "" for at in range(len(points))], dtype=object)
    columns["units"] = np.array([_size(taken[at]) if at in taken else 0 for at in range(len(points))])
    return result.assign(**columns)


def tied(
    runs: pd.DataFrame,
    points: pd.DataFrame,
    cells: pd.DataFrame,
    duels: pd.DataFrame,
    items: pd.DataFrame | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    error: Error = "best",
) -> pd.Series:
    """For each duel, whether zero is in the interval of its margin; False where there is nothing to resample together.

    Args:
        runs: what ``points`` were computed from.
        points: rows of ``composability.point``.
        cells: ``composability.cells(points)``.
        duels: ``composability.duels(cells)``.
        items: rows of ``tracking.query.items``.
        confidence: of the interval.
        resamples: how many.
        error: as ``points`` were computed with.
    """
    taken = samples(runs, points, items)
    sign = _sign(points).to_numpy()
    at = cells.row.to_numpy()
    result = np.zeros(len(duels), dtype=bool)
    together = defaultdict(list)
    for i, (best, following, measure) in enumerate(zip(duels.best, duels.next, duels.measure, strict=True)):
        one, other = taken.get(int(at[best])), taken.get(int(at[following]))
        if one is not None and other is not None and one.units == other.units:
            together[measure, one.kind, one.units].append((i, int(at[best]), int(at[following])))
    for (measure, _, units), found in together.items():
        number, best, following = (np.array(column) for column in zip(*found, strict=True))
        sides = [[np.stack([getattr(taken[p], order) for p in side]) for order in ("forward", "backward")]
                 for side in (best, following)]  # fmt: skip
        low, high = _margin(sides, sign[best], measure, confidence, resamples, _seed(units), error)
        result[number] = (low <= 0) & (high >= 0)
    return pd.Series(result, index=duels.index)


def _size(sample: Samples) -> int:
    return 0 if sample.kind == EXACT else len(sample.units)


def described(taken: Mapping[int, Samples]) -> str:
    """What was resampled, in words: ``50 to 300 items``."""
    told = []
    for kind in (REPLICATES, ITEMS):
        sizes = [len(sample.units) for sample in taken.values() if sample.kind == kind]
        if sizes:
            few = "only " if kind == REPLICATES and min(sizes) < MANY else ""
            span = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else f"{min(sizes)}"
            told.append(f"{few}{span} {kind}")
    return " and ".join(told) or EXACT


def drawn_gains(
    taken: Mapping[int, Samples], gain: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray], resamples: int
) -> dict[int, np.ndarray]:
    """Position to resampled gains, shape (resamples,).

    Args:
        taken: of ``samples``.
        gain: of (positions, mean forward values, mean backward values), shapes (points,), (points, …), (points, …).
        resamples: how many.
    """
    draws: dict[int, np.ndarray] = {}
    for at, forward, backward, seed in _batches(taken):

        def statistic(one: np.ndarray, other: np.ndarray, axis: int = -1, at: np.ndarray = at) -> np.ndarray:
            return gain(at, one.mean(axis), other.mean(axis))

        *_, drawn = _resample([forward, backward], statistic, CONFIDENCE, resamples, seed)
        draws |= dict(zip(at.tolist(), drawn, strict=True))
    return draws


def _sign(points: pd.DataFrame) -> pd.Series:
    """+1 where a larger value is better, -1 where a smaller one is, NaN where neither."""
    return points.better.map({"higher": 1.0, "lower": -1.0, "neither": np.nan}).astype(float)


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
            chosen = tuple(unit for unit, there in zip((units[i] for i in these), both, strict=True) if there)
            found[at] = Samples(REPLICATES, chosen, one[both], other[both])
    return found


def _items(orders: Orders, points: pd.DataFrame, items: pd.DataFrame) -> dict[int, Samples]:
    """The mean of each item over a point's replicates, in both orders."""
    scores = {key: group for key, group in items.groupby(["run_id", "criterion"], sort=False)[["item", "score"]]}
    found = {}
    exact = _exact(orders, points.criterion.unique())
    columns = [points[name] for name in ("criterion", "forward_runs", "backward_runs", "forward", "backward")]
    for at, (criterion, forward, backward, *values) in enumerate(zip(*columns, strict=True)):
        if criterion in exact:
            found[at] = Samples(EXACT, (0, 1), *(np.full(2, value) for value in values))
            continue
        sides = [_mean_items(scores, runs, criterion) for runs in (forward, backward)]
        both = pd.concat(sides, axis=1, join="inner").sort_index()
        means = both.mean().to_numpy()
        # the bootstrap resamples a mean: a criterion that is not the mean of its items has no interval from them
        if len(both) > 1 and np.isfinite(both.to_numpy()).all() and np.allclose(means, values, rtol=0, atol=1e-6):
            found[at] = Samples(ITEMS, tuple(both.index), both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy())
    return found


def _exact(orders: Orders, criteria: Iterable[str]) -> set[str]:
    """Criteria whose standard error is 0 in every run: of weights, which are all measured, or equal in all items."""
    stated = {name: orders.runs.get(f"{STDERR}{name}") for name in criteria}
    return {name for name, errors in stated.items() if errors is not None and (errors == 0).all()}


def _mean_items(scores: Mapping[Any, pd.DataFrame], runs: tuple[str, ...], criterion: str) -> pd.Series:
    """Item to its mean score over runs; empty if one of them has no items."""
    frames = [scores[run, criterion] for run in runs if (run, criterion) in scores]
    if len(frames) < len(runs) or not frames:
        return pd.Series(dtype=float)
    return pd.concat(frames).groupby("item").score.mean()


def _batches(taken: Mapping[int, Samples]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Positions, forward and backward values (points, units), and a seed, of points that share their units.

    Equal units have an equal seed, so that their points are resampled together, whichever batch they are in.
    """
    together = defaultdict(list)
    for at, sample in taken.items():
        together[sample.kind, sample.units].append(at)
    for (_, units), all_of_them in together.items():
        size = max(1, _VALUES // (10 * len(units)))
        for start in range(0, len(all_of_them), size):
            some = all_of_them[start : start + size]
            forward, backward = ([getattr(taken[at], order) for at in some] for order in ("forward", "backward"))
            yield np.array(some), np.stack(forward), np.stack(backward), _seed(units)


def _seed(units: tuple[Any, ...]) -> int:
    return zlib.crc32(repr(units).encode())


def _resample(
    data: list[np.ndarray], statistic: Callable[..., np.ndarray], confidence: float, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Low, high and distribution of a statistic of several arrays (points, units), units resampled together."""
    done = bootstrap(
        data, statistic, paired=True, vectorized=True, axis=-1, method="percentile", confidence_level=confidence,
        n_resamples=resamples, batch=max(1, _VALUES // data[0].size), rng=np.random.default_rng(seed),
    )  # fmt: skip
    return done.confidence_interval.low, done.confidence_interval.high, done.bootstrap_distribution


def _bootstrap(
    forward: np.ndarray,
    backward: np.ndarray,
    sign: np.ndarray,
    confidence: float,
    resamples: int,
    seed: int,
    error: Error,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intervals of (order-free error, gain), shape (2, points), and the resampled gains (points, resamples).

    Where neither direction is better, the gain is the plain difference.
    """
    directed = np.nan_to_num(sign, nan=1.0)

    def statistic(one: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
        means = one.mean(axis), other.mean(axis)
        way = directed.reshape(-1, *[1] * (means[0].ndim - 1))
        return np.stack([_error(*means, way, error), way * (means[0] - means[1])])

    low, high, drawn = _resample([forward, backward], statistic, confidence, resamples, seed)
    return low, high, drawn[1]


def _error(one: np.ndarray, other: np.ndarray, sign: np.ndarray, error: Error) -> np.ndarray:
    """Order-free error of mean values; see `points.point`."""
    good, bad = (np.maximum, np.minimum) if error == "best" else (np.minimum, np.maximum)
    return np.where(sign > 0, 1 - good(one, other), bad(one, other))


def _margin(
    sides: list[list[np.ndarray]],
    sign: np.ndarray,
    measure: str,
    confidence: float,
    resamples: int,
    seed: int,
    error: Error,
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of (next - best) in a measure; shape (duels,)."""

    def statistic(*data: np.ndarray, axis: int = -1) -> np.ndarray:
        means = [values.mean(axis) for values in data]
        way = sign.reshape(-1, *[1] * (means[0].ndim - 1))
        if measure == MEASURES[0]:
            return _error(means[2], means[3], way, error) - _error(means[0], means[1], way, error)
        return np.abs(means[2] - means[3]) - np.abs(means[0] - means[1])

    low, high, _ = _resample([*sides[0], *sides[1]], statistic, confidence, resamples, seed)
    return low, high
