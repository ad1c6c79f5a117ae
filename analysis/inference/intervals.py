"""How sure: intervals and tests of each point, over distinct weights and the items they share.

Which procedure is used where, and how often each is wrong: docs/explanation/statistics.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.inference.basis import basis_columns
from analysis.inference.confidence import CONFIDENCE, check_confidence
from analysis.inference.corrections import benjamini_hochberg, holm, may_claim
from analysis.inference.item_scores import PointItems, items_of_points
from analysis.inference.moments import moments_of_gains, moments_of_order
from analysis.inference.procedures import Estimates, Moments, estimate
from analysis.inference.units import Units, collect_units
from analysis.labels import SHARES
from analysis.metrics.measures import complete
from tracking.measures import Error

# the mean of |x| for a normal x of mean 0 is sqrt(2 / pi) standard deviations
_FOLDED = float(np.sqrt(2 / np.pi))


def sign_of(points: pd.DataFrame) -> pd.Series:
    """Return +1 where a larger value is better, -1 where a smaller one is, NaN where neither is."""
    return points.better.map({"higher": 1.0, "lower": -1.0, "neither": np.nan}).astype(float)


def intervals(
    runs: pd.DataFrame,
    points: pd.DataFrame,
    items: pd.DataFrame | None = None,
    confidence: float = CONFIDENCE,
    error: Error = "best",
) -> pd.DataFrame:
    """Return points with what can be said of the difference between their orders.

    Args:
        runs: what ``points`` were computed from.
        points: rows of ``composability.point``.
        items: rows of ``tracking.query.items``, of the last step.
        confidence: of the intervals; 1 less it is the error of all claims together.
        error: as ``points`` were computed with.

    Returns:
        ``points`` with, for each:

        - ``gain``: how much better the forward order is, in the criterion's unit, the mean over the
          units; ``gain_low, gain_high``, ``se, df``: NaN where nothing is known;
        - ``units``: how many distinct weights there are; ``basis``: what the interval is over,
          "edit batches" or "seeds", with "and items" where these are crossed with them; "items
          only"; "this batch only", which says nothing about another one; or "". ``scope``: "these
          items" where the same items judge all units and their scores are not given, so that
          nothing is said of other items;
        - ``p``: two-sided, of no difference; NaN where no test is allowed (fewer than three units,
          or units that tie); ``q``: corrected for lists (Benjamini and Hochberg). ``p_claim``: the
          same test with fewer degrees of freedom where items are crossed, so that it holds its
          level far out in the tails; ``p_holm``: that, corrected for claims over all points;
        - ``differs``: whether it may be said that the orders differ, by ``p_holm``;
        - ``noise_floor``: what order sensitivity is on average where there is no difference;
        - ``order_sensitivity_low`` and ``…_high``, ``order_free_error_low`` and ``…_high``;
        - ``spread``: the standard deviation of the gain between units; ``item_error``: the part of
          ``se`` that more units do not make smaller.

    Raises:
        InvalidInput: the confidence is not between 0 and 1, or the points are of other runs.

    Example:
        The rows that the paper prints are one run per order, of which nothing more is known:

        >>> from analysis.metrics.points import point
        >>> from tracking.published import rows
        >>> printed = [row for row in rows() if {name for name, _ in row.steps} == {"ft", "wanda"}]
        >>> runs = pd.DataFrame([{**row.params(), **row.values} for row in printed])
        >>> runs = runs.assign(run_id=runs.composition).astype({"wanda.sparsity": float})
        >>> points = intervals(runs, point(runs, ["edit_success"], levels={"sparsity": 0.25}))
        >>> points[["gain", "p", "units", "differs"]].round(2)
           gain   p  units  differs
        0 -0.03 NaN      1    False
    """
    check_confidence(confidence)
    units = collect_units(runs, points)
    scores = items_of_points(units, points, items)
    moments = moments_of_gains(units, points, scores)
    estimates = estimate(moments, confidence)
    columns = _gain_columns(points, moments, estimates, confidence)
    columns |= error_ends(units, points, scores, confidence, error)
    columns |= basis_columns(units, points, moments, estimates)
    return points.assign(**columns)


def _gain_columns(
    points: pd.DataFrame, moments: Moments, estimates: Estimates, confidence: float
) -> dict[str, np.ndarray]:
    """Return the columns of the gain, of its tests and of order sensitivity."""
    sign = sign_of(points).to_numpy()
    with np.errstate(invalid="ignore"):  # two infinite values have no difference
        plain = (points.forward - points.backward).where(complete(points)).to_numpy()
    # an infinite value has no moments
    difference = np.where(np.isnan(moments.mean), plain, moments.mean)
    most = np.where(points.unit.isin(SHARES), 1.0, np.inf)
    low, high = np.clip(estimates.low, -most, most), np.clip(estimates.high, -most, most)
    is_directed = ~np.isnan(sign)
    p = np.where(is_directed, estimates.p, np.nan)
    p_claim = np.where(is_directed, estimates.p_claim, np.nan)
    p_holm = holm(p_claim)
    with np.errstate(invalid="ignore"):
        of_items = np.sqrt(np.maximum(estimates.se**2 - _over_units_part(moments), 0))
    return {
        # + 0.0 turns -0.0, which is printed with its sign, into 0.0
        "gain": sign * difference + 0.0,
        "gain_low": np.where(sign == -1, -high, sign * low) + 0.0,
        "gain_high": np.where(sign == -1, -low, sign * high) + 0.0,
        "se": estimates.se,
        "df": np.where(np.isnan(estimates.se), np.nan, estimates.df),
        "p": p,
        "p_claim": p_claim,
        "p_holm": p_holm,
        "q": benjamini_hochberg(p),
        "differs": may_claim(p_holm, confidence),
        "noise_floor": estimates.se * _FOLDED,
        "order_sensitivity_low": distance_from_zero(low, high),
        "order_sensitivity_high": np.maximum(np.abs(low), np.abs(high)),
        "spread": np.sqrt(moments.variance),
        "item_error": np.where(moments.crossed & estimates.over_units, of_items, 0.0),
    }


def distance_from_zero(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return how far from 0 the nearest point of each interval is; NaN where there is none.

    Example:
        >>> distance_from_zero(np.array([0.1, -0.1, -0.3]), np.array([0.2, 0.2, -0.1])).tolist()
        [0.1, 0.0, 0.1]
    """
    return np.maximum(np.maximum(low, -high), 0.0)


def _over_units_part(moments: Moments) -> np.ndarray:
    """Return the part of the squared standard error that more units make smaller."""
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = np.nan_to_num(moments.residual)
        return np.maximum(moments.variance, residual) / np.maximum(moments.units, 1)


def error_ends(
    units: Units,
    points: pd.DataFrame,
    scores: Sequence[PointItems],
    confidence: float,
    error: Error,
) -> dict[str, np.ndarray]:
    """Return the ends of the order-free error: of both orders' ends, the better or worse ones.

    Args:
        units: of the points.
        points: rows of ``composability.point``.
        scores: of ``items_of_points``.
        confidence: of each order's interval, between 0 and 1.
        error: "best" or "worst".

    Returns:
        ``order_free_error_low`` and ``order_free_error_high``, each of shape (points,).
    """
    higher, lower = (points.better == name for name in ("higher", "lower"))
    is_share = points.unit.isin(SHARES).to_numpy()
    lows, highs = [], []
    for order in ("forward", "backward"):
        moments, shift = moments_of_order(units, points, scores, order)
        estimates = estimate(moments, confidence)
        low, high = estimates.low + shift, estimates.high + shift
        low = np.where(is_share, np.clip(low, 0, 1), low)
        high = np.where(is_share, np.clip(high, 0, 1), high)
        lows.append(np.where(higher, 1 - high, np.where(lower, low, np.nan)))
        highs.append(np.where(higher, 1 - low, np.where(lower, high, np.nan)))
    chosen = np.minimum if error == "best" else np.maximum
    return {
        "order_free_error_low": chosen(*lows),
        "order_free_error_high": chosen(*highs),
    }
