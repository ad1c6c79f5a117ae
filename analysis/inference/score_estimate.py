"""A weighted sum of gains with an interval and a test that hold their level.

The units (edit batches, or seeds) are what is random: every unit has a score of its own, and the
interval is Student's over them. Simulated with known truth, see docs/explanation/composability.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.inference.item_variance import (
    Counting,
    PointGains,
    variance_of_questions,
    variance_over_items,
)
from analysis.inference.procedures import FEWEST_UNITS
from analysis.inference.units import ONE_BATCH

_SAME = 1e-9  # scores whose standard deviation is smaller are equal, but for rounding


@dataclass(frozen=True)
class ScoreEstimate:
    """A gain of the forward order, and what can be said of it.

    Attributes:
        value: the gain; negative where the backward order is better.
        low: lower end of its interval; NaN where there is none.
        high: upper end.
        units: how many distinct ones every part of it has, at least.
        deviation: between the scores of single units; NaN with one.
        item_error: the part of the standard error that more units would not make smaller.
        p: of the test that the gain is 0; NaN where no test holds its level: under three units,
            all of them equal, or seeds of a single edit batch.
        p_holm: corrected for the tests that belong together.
        with_items: whether the interval reckons with other questions too.
        items_only: whether it is over items alone, and says nothing of other units.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    units: int = 0
    deviation: float = math.nan
    item_error: float = 0.0
    p: float = math.nan
    p_holm: float = math.nan
    with_items: bool = False
    items_only: bool = False

    def turned(self, sign: int) -> ScoreEstimate:
        """Return the gain of the order that a sign stands for: 1 forward, -1 backward."""
        if sign == 1:
            return self
        # 0 - x, as -0.0 is printed with its sign
        return replace(self, value=0 - self.value, low=0 - self.high, high=0 - self.low)


def estimate_score(
    parts: Mapping[int, float], gains_of: Mapping[int, PointGains], confidence: float
) -> ScoreEstimate:
    """Return the weighted sum of the points' gains with its interval and test.

    Args:
        parts: position of each point that counts to its part.
        gains_of: the gains of each point, by position.
        confidence: of the interval, between 0 and 1.

    Example:
        >>> batches = PointGains(("a", "b", "c"), np.array([0.1, 0.2, 0.3]))
        >>> sum_of_gains = estimate_score({0: 1.0}, {0: batches}, 0.95)
        >>> round(sum_of_gains.value, 3), round(sum_of_gains.low, 3), round(sum_of_gains.high, 3)
        (0.2, -0.048, 0.448)
    """
    counting = [(part, gains_of[row]) for row, part in parts.items() if part]
    if not counting:
        return ScoreEstimate(math.nan)
    with np.errstate(invalid="ignore"):  # infinitely better at one level, worse at another
        value = float(sum(part * point.gains.mean() for part, point in counting))
    units = min(len(point.units) for _, point in counting)
    if not math.isfinite(value):
        return ScoreEstimate(value, units=units)
    if units == 1:
        return _over_items(value, units, counting, confidence)
    return _over_units(value, units, counting, confidence)


def _over_units(value: float, units: int, counting: Counting, confidence: float) -> ScoreEstimate:
    """Return an estimate by Student's t over the scores of the units."""
    # a unit's share in the error of the sum; where all points have all units, its score's
    influences: defaultdict[Hashable, float] = defaultdict(float)
    for part, point in counting:
        shares = part * (point.gains - point.gains.mean()) / len(point.units)
        for unit, share in zip(point.units, shares.tolist(), strict=True):
            influences[unit] += share
    squares = sum(share**2 for share in influences.values())
    variance = squares * units**2 / (units - 1)  # between units
    if math.sqrt(variance) <= _SAME:
        return _over_items(value, units, counting, confidence)
    of_questions, with_items = variance_of_questions(counting)
    error, df = math.sqrt(variance / units + of_questions), units - 1
    half = float(stdtrit(df, (1 + confidence) / 2)) * error
    is_one_batch = any(point.kind == ONE_BATCH for _, point in counting)
    may_claim = units >= FEWEST_UNITS and not is_one_batch
    p = 2 * float(stdtr(df, -abs(value) / error)) if may_claim else math.nan
    return ScoreEstimate(
        value=value,
        low=value - half,
        high=value + half,
        units=units,
        deviation=math.sqrt(variance),
        item_error=math.sqrt(of_questions),
        p=p,
        p_holm=p,
        with_items=with_items,
    )


def _over_items(value: float, units: int, counting: Counting, confidence: float) -> ScoreEstimate:
    """Return an estimate whose interval is over items alone: it tests nothing.

    Of a single unit, or of units that tie: equal scores are no evidence of a variance of 0.
    """
    variance, fewest = variance_over_items(counting)
    if fewest < 2 or not variance > _SAME**2:
        return ScoreEstimate(value, units=units)
    half = float(stdtrit(fewest - 1, (1 + confidence) / 2)) * math.sqrt(variance)
    return ScoreEstimate(value, value - half, value + half, units=units, items_only=True)


def weighted_holm(p_values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return p values corrected for several tests, of which some matter more: weighted Holm.

    The chance that any of them is below a level by accident is at most that level: Holm 1979,
    section 4. A test that was not made (NaN) stays NaN, but keeps its share of the level: whether
    it can be made depends on the data.

    Args:
        p_values: of tests that belong together.
        weights: of each test, above 0.

    Example:
        >>> weighted_holm([0.01, 0.04, 0.03], [1, 1, 1])
        [0.03, 0.06, 0.06]
    """
    corrected = [math.nan] * len(p_values)
    ratios = [
        (math.inf if math.isnan(p) else p / weight)
        for p, weight in zip(p_values, weights, strict=True)
    ]
    order = sorted(range(len(ratios)), key=ratios.__getitem__)
    highest = 0.0
    for rank, index in enumerate(order):
        if math.isnan(p_values[index]):
            break
        remaining = sum(weights[later] for later in order[rank:])
        highest = max(highest, min(1.0, ratios[index] * remaining))
        corrected[index] = highest
    return corrected
