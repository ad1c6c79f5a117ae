"""Test paired differences over units by Student's t.

A difference per unit (a batch of edits, a seed) is one number, so the plain t test holds its level
from three units on. Differences without any spread are not tested: two that tie by rounding would
give p = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

FEWEST = 3  # units for a test; two give a direction only
_NO_SPREAD = 1e-12  # of a sample variance: rounding of floats


@dataclass(frozen=True)
class PairedTest:
    """The mean of some differences, its interval and its test.

    Attributes:
        mean: of the differences; NaN where there are none.
        low: lower end of the interval; NaN where the differences are too few or have no spread.
        high: its upper end; NaN likewise.
        p_greater: of the hypothesis that the mean is not above 0; NaN where it is not tested.
        units: how many differences.
        error: standard error of the mean; NaN where it is not tested.
    """

    mean: float
    low: float
    high: float
    p_greater: float
    units: int
    error: float = np.nan

    @property
    def p(self) -> float:
        """Of the hypothesis that the mean is 0, against either side."""
        return 2 * min(self.p_greater, 1 - self.p_greater)

    def p_below(self, bound: float) -> float:
        """Return p of the hypothesis that the mean is not below a bound; NaN likewise."""
        return float(stats.t.cdf((self.mean - bound) / self.error, max(self.units - 1, 1)))


def paired_test(differences: Sequence[float] | np.ndarray, confidence: float = 0.95) -> PairedTest:
    """Return the mean of differences with its t interval and test.

    Args:
        differences: one per unit, shape (units,); finite.
        confidence: of the interval, between 0 and 1.

    Example:
        >>> test = paired_test([0.1, 0.2, 0.3])
        >>> round(test.mean, 3), round(test.low, 3), round(test.high, 3), round(test.p, 3)
        (0.2, -0.048, 0.448, 0.074)
    """
    values = np.asarray(differences, float)
    count = len(values)
    if not count or not np.isfinite(values).all():
        return PairedTest(np.nan, np.nan, np.nan, np.nan, count)
    mean = float(values.mean())
    variance = float(values.var(ddof=1)) if count >= FEWEST else 0.0
    if variance <= _NO_SPREAD:
        return PairedTest(mean, np.nan, np.nan, np.nan, count)
    error = float(np.sqrt(variance / count))
    half = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    p_greater = float(stats.t.sf(mean / error, count - 1))
    return PairedTest(mean, mean - half, mean + half, p_greater, count, error)
