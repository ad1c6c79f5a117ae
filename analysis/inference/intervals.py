"""How sure: paired bootstrap intervals of each point over edit batches and seeds, or over items.

Order sensitivity is the size of a difference: its interval is the difference's, folded at zero.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.inference.bootstrap import (
    CONFIDENCE,
    RESAMPLES,
    Batch,
    along,
    check_confidence,
    index_batches,
    resample,
    sign_of,
)
from analysis.inference.samples import collect_samples, count_units
from analysis.metrics.columns import MEASURES
from analysis.metrics.measures import complete
from tracking.measures import Error, order_free_error

_ENDS = [f"{name}_{end}" for name in (*MEASURES, "gain") for end in ("low", "high")]
# without a better direction there are no gain and no error
_DIRECTED = ["gain_low", "gain_high", "sure", f"{MEASURES[0]}_low", f"{MEASURES[0]}_high"]


def intervals(
    runs: pd.DataFrame,
    points: pd.DataFrame,
    items: pd.DataFrame | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    error: Error = "best",
) -> pd.DataFrame:
    """Return points with their intervals.

    Args:
        runs: what ``points`` were computed from.
        points: rows of ``composability.point``.
        items: rows of ``tracking.query.items``, of the last step.
        confidence: of the intervals, between 0 and 1.
        resamples: how many.
        error: as ``points`` were computed with.

    Returns:
        ``points`` with ``…_low`` and ``…_high`` of both measures and of ``gain`` (how much better
        the forward order is, in the criterion's unit; negative: the backward one); ``sure``: the
        share of resamples in which the order that looks better is better; ``over``: what was
        resampled; ``units``: how many of them. NaN where there is nothing to resample, or a value
        is infinite.

    Raises:
        InvalidInput: the confidence is not between 0 and 1.
    """
    check_confidence(confidence)
    sign = sign_of(points)
    with np.errstate(invalid="ignore"):  # two infinite values have no difference
        # + 0.0 turns -0.0, which is printed with its sign, into 0.0
        gain = (sign * (points.forward - points.backward) + 0.0).where(complete(points))
    samples = collect_samples(runs, points, items)
    columns = {name: np.full(len(points), np.nan) for name in (*_ENDS, "sure")}
    for batch in index_batches(samples):
        better = points.better.to_numpy()[batch.positions]
        measured = _interval_columns(batch, better, confidence, resamples, error)
        for name, values in measured.items():
            columns[name][batch.positions] = values
    for name in _DIRECTED:
        columns[name][sign.isna().to_numpy()] = np.nan
    over, units = np.full(len(points), "", dtype=object), np.zeros(len(points), dtype=int)
    for position, sample in samples.items():
        over[position], units[position] = sample.kind, count_units(sample)
    return points.assign(gain=gain, over=over, units=units, **columns)


def _interval_columns(
    batch: Batch, better: np.ndarray, confidence: float, resamples: int, error: Error
) -> dict[str, np.ndarray]:
    """Return a batch's columns, each of shape (points,).

    Where neither direction is better, the gain is the plain difference, as if a larger value were.
    """
    direction = np.where(better == "lower", "lower", "higher")
    sign = np.where(better == "lower", -1.0, 1.0)

    def statistic(forward: np.ndarray, backward: np.ndarray, axis: int = -1) -> np.ndarray:
        first, second = forward.mean(axis), backward.mean(axis)
        errors = order_free_error(first, second, along(direction, first), error)
        return np.stack([errors, along(sign, first) * (first - second)])

    sides = [batch.forward, batch.backward]
    low, high, drawn = resample(sides, statistic, confidence, resamples, batch.seed)
    nearer, farther = np.minimum(abs(low[1]), abs(high[1])), np.maximum(abs(low[1]), abs(high[1]))
    holds_zero = (low[1] <= 0) & (high[1] >= 0)
    ends = (low[0], high[0], np.where(holds_zero, 0, nearer), farther, low[1], high[1])
    # a resample without a difference counts half for either order
    ahead = (drawn[1] > 0).mean(-1) + (drawn[1] == 0).mean(-1) / 2
    return {**dict(zip(_ENDS, ends, strict=True)), "sure": np.maximum(ahead, 1 - ahead)}
