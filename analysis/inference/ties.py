"""Whether the best method of a group is better than the next by more than the noise."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd

from analysis.inference.bootstrap import CONFIDENCE, RESAMPLES, along, resample, seed_of
from analysis.inference.samples import collect_samples
from analysis.metrics.columns import MEASURES
from tracking.measures import Error, order_free_error, order_sensitivity


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
    """Return for each duel whether zero is in the interval of its margin.

    Args:
        runs: what ``points`` were computed from.
        points: rows of ``composability.point``.
        cells: ``composability.cells(points)``.
        duels: ``composability.duels(cells)``.
        items: rows of ``tracking.query.items``.
        confidence: of the interval, between 0 and 1.
        resamples: how many.
        error: as ``points`` were computed with.

    Returns:
        Aligned with ``duels``; False where the two methods share nothing to resample.
    """
    samples = collect_samples(runs, points, items)
    position_of = cells.row.to_numpy()
    best_positions = position_of[duels.best.to_numpy(dtype=int)]
    next_positions = position_of[duels.next.to_numpy(dtype=int)]
    # duels over the same units are resampled at once
    together = defaultdict(list)
    for row, measure in enumerate(duels.measure):
        best, following = samples.get(best_positions[row]), samples.get(next_positions[row])
        if best is not None and following is not None and best.units == following.units:
            together[measure, best.kind, best.units].append(row)
    is_tied = np.zeros(len(duels), dtype=bool)
    for (measure, _, units), rows in together.items():
        sides = []
        for positions in (best_positions[rows], next_positions[rows]):
            sides.append(np.stack([samples[position].forward for position in positions]))
            sides.append(np.stack([samples[position].backward for position in positions]))
        # both methods of a duel are judged by one criterion, so the best's direction is the next's
        better = points.better.to_numpy()[best_positions[rows]]
        low, high = _margin_interval(
            sides, better, measure, error, confidence, resamples, seed_of(units)
        )
        is_tied[rows] = (low <= 0) & (high >= 0)
    return pd.Series(is_tied, index=duels.index)


def _margin_interval(
    sides: list[np.ndarray],
    better: np.ndarray,
    measure: str,
    error: Error,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of (next - best) in a measure, shape (duels,).

    ``sides`` are the best's forward and backward values, then the next's; each (duels, units).
    """

    def measured(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
        if measure == MEASURES[1]:
            return order_sensitivity(forward, backward)
        errors: np.ndarray = order_free_error(forward, backward, along(better, forward), error)
        return errors

    def margin(*data: np.ndarray, axis: int = -1) -> np.ndarray:
        best_forward, best_backward, next_forward, next_backward = (
            values.mean(axis) for values in data
        )
        return measured(next_forward, next_backward) - measured(best_forward, best_backward)

    low, high, _ = resample(sides, margin, confidence, resamples, seed)
    return low, high
