"""How many batches of edits, or seeds, a comparison needs to show what it cannot tell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import stats

from analysis.inference.procedures import FEWEST_UNITS
from interventions.errors import InvalidInput

POWER = 0.8  # with which a gain is to be seen, where none is given
MOST_UNITS = 100_000  # more are as good as never


def batches_needed(
    gain: float,
    spread: float,
    item_error: float = 0.0,
    confidence: float = 0.95,
    power: float = POWER,
) -> float:
    """Return how many units a two-sided t test needs to show a gain.

    Args:
        gain: the true difference that is to be shown, in the criterion's unit.
        spread: the standard deviation of the gain between units, as ``intervals`` gives it.
        item_error: the part of its standard error that more units do not make smaller.
        confidence: of the test, between 0 and 1.
        power: in which share of cases it is to be shown, between 0 and 1.

    Returns:
        A whole number; inf where no number of units is enough, NaN where the spread is not known.

    Raises:
        InvalidInput: the gain is 0 or not finite, or a share is not between 0 and 1.

    Example:
        >>> batches_needed(0.1, 0.07), batches_needed(0.05, 0.07), batches_needed(0.05, 0.07, 0.03)
        (7.0, 18.0, inf)
    """
    for name, share in (("confidence", confidence), ("power", power)):
        if not 0 < share < 1:
            raise InvalidInput(f"{name} must be between 0 and 1, but got {share}")
    if gain == 0 or not math.isfinite(gain):
        raise InvalidInput(f"gain must be finite and not 0, but got {gain}")
    if not (math.isfinite(spread) and math.isfinite(item_error)):
        return math.nan

    def suffices(units: int) -> bool:
        error = math.sqrt(spread**2 / units + item_error**2)
        return _power(abs(gain), error, units - 1, confidence) >= power

    if not suffices(MOST_UNITS):
        return math.inf
    low, high = FEWEST_UNITS - 1, MOST_UNITS  # does not suffice or is not allowed; suffices
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return float(high)


def _power(gain: float, error: float, df: int, confidence: float) -> float:
    """Return how often a t test shows a gain: the noncentral t beyond the critical value."""
    if error == 0:
        return 1.0
    critical = stats.t.ppf((1 + confidence) / 2, df)
    # the normal approximation is exact enough, and nct loses its digits far from 0
    shift, width = gain / error, math.sqrt(1 + critical**2 / (2 * df))
    if df > 200 or shift > 30:
        return float(stats.norm.cdf((shift - critical * (1 - 1 / (4 * df))) / width))
    return float(stats.nct.sf(critical, df, shift))


def units_in_words(point: Any, gain: float, confidence: float = 0.95) -> str:
    """Return ``about 12 edit batches would be needed to show a gain of 0.1``.

    Args:
        point: a row of ``intervals``.
        gain: that is to be shown, in the criterion's unit.
        confidence: of the test.

    Returns:
        An empty text where the spread between units is not known, as with one unit.

    Example:
        >>> from types import SimpleNamespace
        >>> units_in_words(SimpleNamespace(spread=0.07, item_error=0.0, basis="seeds"), 0.1)
        'about 7 seeds would be needed to show a gain of 0.1'
    """
    noun = "seeds" if str(point.basis).startswith("seeds") else "edit batches"
    count = batches_needed(gain, float(point.spread), float(point.item_error), confidence)
    if np.isnan(count):
        return ""
    if np.isinf(count):
        return f"no number of {noun} would show a gain of {gain:g} with as few items"
    return f"about {count:.0f} {noun} would be needed to show a gain of {gain:g}"
