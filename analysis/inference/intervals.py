"""How sure: paired bootstrap intervals over edit batches and seeds, or over items (scipy's bootstrap, percentile).

Both orders, and all methods that share seeds, batches or items, are resampled together, so that what they have in
common cancels. Order sensitivity is the size of a difference: its interval is the difference's, folded at zero.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from analysis.inference.samples import Samples, samples, size
from analysis.metrics.points import MEASURES, Error, complete
from interventions.errors import InvalidInput

RESAMPLES = 1999
CONFIDENCE = 0.95
_VALUES = 4_000_000  # in memory at once


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
        gain = (sign * (points.forward - points.backward) + 0.0).where(complete(points))
    result = points.assign(gain=gain, over="", units=0)
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
    columns["over"] = np.array(
        [taken[at].kind if at in taken else "" for at in range(len(points))], dtype=object
    )
    columns["units"] = np.array(
        [size(taken[at]) if at in taken else 0 for at in range(len(points))]
    )
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
    for i, (best, following, measure) in enumerate(
        zip(duels.best, duels.next, duels.measure, strict=True)
    ):
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


def drawn_gains(
    taken: Mapping[int, Samples],
    gain: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    resamples: int,
) -> dict[int, np.ndarray]:
    """Position to resampled gains, shape (resamples,).

    Args:
        taken: of ``samples``.
        gain: of (positions, mean forward values, mean backward values), shapes (points,), (points, …), (points, …).
        resamples: how many.
    """
    draws: dict[int, np.ndarray] = {}
    for at, forward, backward, seed in _batches(taken):

        def statistic(
            one: np.ndarray, other: np.ndarray, axis: int = -1, at: np.ndarray = at
        ) -> np.ndarray:
            return gain(at, one.mean(axis), other.mean(axis))

        *_, drawn = _resample([forward, backward], statistic, CONFIDENCE, resamples, seed)
        draws |= dict(zip(at.tolist(), drawn, strict=True))
    return draws


def _sign(points: pd.DataFrame) -> pd.Series:
    """+1 where a larger value is better, -1 where a smaller one is, NaN where neither."""
    return points.better.map({"higher": 1.0, "lower": -1.0, "neither": np.nan}).astype(float)


def _batches(
    taken: Mapping[int, Samples],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
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
            forward, backward = (
                [getattr(taken[at], order) for at in some] for order in ("forward", "backward")
            )
            yield np.array(some), np.stack(forward), np.stack(backward), _seed(units)


def _seed(units: tuple[Any, ...]) -> int:
    return zlib.crc32(repr(units).encode())


def _resample(
    data: list[np.ndarray],
    statistic: Callable[..., np.ndarray],
    confidence: float,
    resamples: int,
    seed: int,
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
