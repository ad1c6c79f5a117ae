"""Resample points that share their units together, by scipy's paired percentile bootstrap.

Both orders, and all methods that share seeds, batches or items, are resampled together, so that
what they have in common cancels.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from analysis.inference.samples import Samples
from interventions.errors import InvalidInput

RESAMPLES = 1999
CONFIDENCE = 0.95
_VALUES = 4_000_000  # in memory at once


@dataclass(frozen=True)
class Batch:
    """Points that share their units.

    Attributes:
        positions: of the points, shape (points,).
        forward: values after the forward order, shape (points, units).
        backward: values after the backward order, shape (points, units).
        seed: equal for equal units, so that their points are resampled together, whichever batch
            they are in.
    """

    positions: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    seed: int


def check_confidence(confidence: float) -> None:
    """Raise InvalidInput if the confidence is not between 0 and 1."""
    if not 0 < confidence < 1:
        raise InvalidInput(f"confidence must be between 0 and 1, but got {confidence}")


def index_batches(samples: Mapping[int, Samples]) -> Iterator[Batch]:
    """Yield the samples in batches whose points share their units, and that fit into memory.

    Args:
        samples: of ``collect_samples``, by position.
    """
    positions_of = defaultdict(list)
    for position, sample in samples.items():
        positions_of[sample.kind, sample.units].append(position)
    for (_, units), positions in positions_of.items():
        # so that ten resamples of a batch fit into memory at once
        size = max(1, _VALUES // (10 * len(units)))
        for start in range(0, len(positions), size):
            part = positions[start : start + size]
            forward = np.stack([samples[position].forward for position in part])
            backward = np.stack([samples[position].backward for position in part])
            yield Batch(np.array(part), forward, backward, seed_of(units))


def seed_of(units: tuple[Any, ...]) -> int:
    """Return a seed that is equal for equal units, in every process."""
    return zlib.crc32(repr(units).encode())


def resample(
    data: list[np.ndarray],
    statistic: Callable[..., np.ndarray],
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the interval and the distribution of a statistic, with units resampled together.

    Args:
        data: arrays of shape (points, units).
        statistic: a function of the arrays and ``axis``, the axis of the units.
        confidence: of the interval, between 0 and 1.
        resamples: how many.
        seed: of the random numbers.

    Returns:
        Low and high, of the statistic's shape; and the resampled statistic, with a last axis more.
    """
    result = bootstrap(
        data,
        statistic,
        paired=True,
        vectorized=True,
        axis=-1,
        # unlike the basic interval it stays within the values that a criterion can have
        method="percentile",
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, _VALUES // data[0].size),
        rng=np.random.default_rng(seed),
    )
    interval = result.confidence_interval
    return interval.low, interval.high, result.bootstrap_distribution


def drawn_gains(
    samples: Mapping[int, Samples],
    gain: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    resamples: int,
) -> dict[int, np.ndarray]:
    """Return resampled gains of each point, shape (resamples,), by position.

    Args:
        samples: of ``collect_samples``, by position.
        gain: a function of (positions, mean forward values, mean backward values), of shapes
            (points,), (points, …), (points, …).
        resamples: how many.
    """
    draws: dict[int, np.ndarray] = {}
    for batch in index_batches(samples):

        def statistic(
            forward: np.ndarray, backward: np.ndarray, axis: int = -1, batch: Batch = batch
        ) -> np.ndarray:
            return gain(batch.positions, forward.mean(axis), backward.mean(axis))

        sides = [batch.forward, batch.backward]
        *_, drawn = resample(sides, statistic, CONFIDENCE, resamples, batch.seed)
        draws |= dict(zip(batch.positions.tolist(), drawn, strict=True))
    return draws


def sign_of(points: pd.DataFrame) -> pd.Series:
    """Return +1 where a larger value is better, -1 where a smaller one is, NaN where neither is."""
    return points.better.map({"higher": 1.0, "lower": -1.0, "neither": np.nan}).astype(float)


def along(values: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return values of shape (points,) with as many axes as means of shape (points, …)."""
    return values.reshape(-1, *[1] * (means.ndim - 1))
