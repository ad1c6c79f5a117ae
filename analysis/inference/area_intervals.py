"""How sure: intervals and tests of the areas between two orders' curves over the levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.inference.basis import basis_columns
from analysis.inference.combinations import Combiner, Term
from analysis.inference.confidence import CONFIDENCE, check_confidence
from analysis.inference.corrections import benjamini_hochberg, holm, may_claim
from analysis.inference.intervals import distance_from_zero, error_ends, sign_of
from analysis.inference.item_scores import PointItems, items_of_points
from analysis.inference.moments import moments_of_gains
from analysis.inference.procedures import estimate
from analysis.inference.units import Units, collect_units
from analysis.metrics.areas import LOGARITHMIC
from analysis.metrics.bounds import within
from analysis.metrics.columns import CURVE
from analysis.metrics.measures import complete
from interventions.arguments import check_columns
from tracking.measures import Error


def area_intervals(
    runs: pd.DataFrame,
    points: pd.DataFrame,
    items: pd.DataFrame | None = None,
    bounds: Mapping[str, float] | None = None,
    confidence: float = CONFIDENCE,
    error: Error = "best",
) -> pd.DataFrame:
    """Return what can be said of each pair's areas over the levels, divided by their range.

    The signed area, of the forward order's gain, is tested over the areas of the units (edit
    batches, or seeds) that have every level. The area of order sensitivity has no test of its own:
    it is at least the folded signed one, and at most the mean of the levels' upper ends.

    Args:
        runs: what ``points`` were computed from.
        points: rows of ``composability.point``, with every level that counts.
        items: rows of ``tracking.query.items``, of the last step.
        bounds: leave out levels where, in either order, another criterion is worse.
        confidence: of the intervals; 1 less it is the error of all claims together.
        error: as ``points`` were computed with.

    Returns:
        A row per pair and criterion that has two neighbouring levels: the columns
        ``analysis.metrics.columns.CURVE``; ``signed``, the area of the gain (of perplexity that of
        the log-ratio), with ``signed_low`` and ``signed_high``; ``order_sensitivity_low`` and
        ``…_high``; ``order_free_error_low`` and ``…_high``, the means of the levels' ends (of
        perplexity geometric means); ``se, df, p, p_holm, q, differs, units, basis, scope`` as of
        ``intervals``, of the signed area.

    Raises:
        InvalidInput: the confidence is not between 0 and 1, the points are of other runs, or a
            bound is of a criterion that they lack.
    """
    check_confidence(confidence)
    check_columns("points", points, (*CURVE, "level", "point"))
    points = points.reset_index(drop=True)
    units = collect_units(runs, points)
    scores = items_of_points(units, points, items)
    ends = list(error_ends(units, points, scores, confidence, error).values())
    units, scores = _with_logarithms(units, points, scores)
    gain_estimates = estimate(moments_of_gains(units, points, scores), confidence)
    upper_ends = np.maximum(np.abs(gain_estimates.low), np.abs(gain_estimates.high))
    sign = sign_of(points).to_numpy()
    is_usable = complete(points).to_numpy(copy=True)
    if bounds:
        is_usable &= points.index.isin(within(points, bounds).index)
    combiner = Combiner(units, points, scores)
    rows, sums = [], []
    for key, weights in _curves(points, is_usable):
        positions = list(weights)
        shares = np.array(list(weights.values()))
        signed = shares * sign[positions]
        terms: list[Term] = list(zip(positions, signed, -signed, strict=True))
        sums.append(terms)
        is_log = key[CURVE.index("unit")] in LOGARITHMIC
        errors = [_mean_end(shares, end[positions], is_log) for end in ends]
        rows.append((*key, *errors, float(shares @ upper_ends[positions]), next(iter(weights))))
    names = [*CURVE, "order_free_error_low", "order_free_error_high", "order_sensitivity_high"]
    areas = pd.DataFrame(rows, columns=[*names, "position"])
    moments = combiner.moments(sums)
    estimates = estimate(moments, confidence)
    low, high, p_holm = estimates.low, estimates.high, holm(estimates.p_claim)
    return areas.drop(columns="position").assign(
        signed=moments.mean,
        signed_low=low,
        signed_high=high,
        order_sensitivity_low=distance_from_zero(low, high),
        se=estimates.se,
        df=np.where(np.isnan(estimates.se), np.nan, estimates.df),
        p=estimates.p,
        p_holm=p_holm,
        q=benjamini_hochberg(estimates.p),
        differs=may_claim(p_holm, confidence),
        **basis_columns(units, points.iloc[areas.position], moments, estimates),
    )


def _mean_end(shares: np.ndarray, ends: np.ndarray, is_log: bool) -> float:
    """Return the mean of the levels' ends, or their geometric mean; an end below 0 is 0 there."""
    if not is_log:
        return float(shares @ ends)
    with np.errstate(divide="ignore"):  # the logarithm of 0
        return float(np.exp(shares @ np.log(np.maximum(ends, 0))))


def _curves(
    points: pd.DataFrame, is_usable: np.ndarray
) -> list[tuple[tuple[Any, ...], dict[int, float]]]:
    """Return each curve's key, and the weight of each of its points in its area over its range.

    The trapezoidal rule; nothing is drawn across a level that is not usable.
    """
    swept = points[points.strength != ""].sort_values([*CURVE, "level"], kind="stable")
    groups: Any = swept.groupby(CURVE).indices
    positions_of_row, level_of_row = swept.index.to_numpy(), swept.level.to_numpy(float)
    curves = []
    for key, rows in groups.items():
        positions, levels = positions_of_row[rows], level_of_row[rows]
        usable = is_usable[positions]
        drawn = usable[:-1] & usable[1:]
        widths = np.where(drawn, np.diff(levels), 0.0)
        if not widths.sum() > 0:
            continue
        weights = (np.append(widths, 0) + np.append(0, widths)) / (2 * widths.sum())
        counted = weights > 0
        weight_of = zip(positions[counted].tolist(), weights[counted].tolist(), strict=True)
        curves.append((key, dict(weight_of)))
    return curves


def _with_logarithms(
    units: Units, points: pd.DataFrame, scores: list[PointItems]
) -> tuple[Units, list[PointItems]]:
    """Return the values of some criteria as natural logarithms, and their items likewise."""
    is_log = points.unit.isin(LOGARITHMIC).to_numpy()
    columns = np.unique(units.columns_of(points)[is_log])
    sides = {}
    for order in ("forward", "backward"):
        values = getattr(units, order).copy()
        values[:, columns] = np.log(values[:, columns])
        sides[order] = values
    logarithms = []
    for each in scores:
        if is_log[each.position]:
            forward, backward = (
                [s / s.mean() - 1 + np.log(s.mean()) for s in side]
                for side in (each.forward, each.backward)
            )
            each = replace(each, forward=forward, backward=backward)
        logarithms.append(each)
    return replace(units, **sides), logarithms
