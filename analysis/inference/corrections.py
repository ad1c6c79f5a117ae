"""Correct p-values for how many there are: Holm for claims, Benjamini and Hochberg for lists."""

from __future__ import annotations

import numpy as np
from scipy import stats


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values by which a claim is false with at most their probability, among all tests.

    Args:
        p: shape (tests,); NaN is no test and stays NaN.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    Example:
        >>> holm(np.array([0.01, 0.04, np.nan, 0.03])).round(3).tolist()
        [0.03, 0.06, nan, 0.06]
    """
    corrected = np.full(len(p), np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return corrected


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Return q-values: of the tests with q <= .05, on average 5 % are false.

    Args:
        p: shape (tests,); NaN is no test and stays NaN.

    Example:
        >>> benjamini_hochberg(np.array([0.01, 0.04, np.nan, 0.03])).round(3).tolist()
        [0.03, 0.04, nan, 0.04]
    """
    corrected = np.full(len(p), np.nan)
    is_test = ~np.isnan(p)
    if is_test.any():
        corrected[is_test] = stats.false_discovery_control(p[is_test], method="bh")
    return corrected


def may_claim(p: np.ndarray, confidence: float) -> np.ndarray:
    """Return whether corrected p-values are small enough; NaN is no test.

    Example:
        >>> may_claim(np.array([0.05, 0.051, np.nan]), 0.95).tolist()
        [True, False, False]
    """
    # 1 - .95 is not exactly .05
    return np.nan_to_num(p, nan=2.0) <= 1 - confidence + 1e-12
