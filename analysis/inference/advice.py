"""Compute the advice on one pair: scores over all levels and at each, tested together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.inference.corrections import may_claim
from analysis.inference.item_variance import PointGains
from analysis.inference.level_advice import (
    basis_text,
    corrected,
    error_share,
    level_table,
    levels_within,
    positions_of_levels,
)
from analysis.inference.pareto import compare_settings
from analysis.inference.power import batches_needed
from analysis.inference.recommendation import (
    BETTER,
    BOUNDS,
    DEPENDS,
    EQUAL,
    INFINITE,
    LEVELS,
    NEITHER,
    PRINTED,
    UNTOLD,
    USEFUL_GAIN,
    Recommendation,
)
from analysis.inference.score_estimate import ScoreEstimate, estimate_score
from analysis.inference.scores import default_weights, names_of_pair, shares_of_points
from analysis.inference.units import ONE_BATCH
from analysis.inference.wording import advice_in_words
from analysis.labels import Labels

MOST_OFTEN_WRONG = 0.05  # how often a sentence says that an order is better where neither is


def advise_pair(
    points: pd.DataFrame,
    gains_of: Mapping[int, PointGains],
    titles: Labels,
    weights: Mapping[str, float] | None,
    bounds: Mapping[str, float],
    confidence: float,
    is_printed: bool,
) -> Recommendation:
    """Return the advice on one pair and setting.

    Args:
        points: complete ones of the pair, index 0, 1, ….
        gains_of: the gains of each point, by position.
        titles: of interventions and criteria.
        weights: criterion to weight, checked; None for the default.
        bounds: criterion to its worst value; what was not measured is worse.
        confidence: of the intervals, between 0 and 1.
        is_printed: whether the numbers are printed ones, which cannot be tested.

    Raises:
        InvalidInput: a bounding criterion has no good direction.
    """
    if weights is None:
        weights = default_weights(points, titles.catalogue)
    settings = compare_settings(points, titles.catalogue, weights, bounds)
    levels = levels_within(settings)
    level_of_point = positions_of_levels(points, levels)
    is_within = np.array([row["within"] == "both" for row in levels])[level_of_point]
    gain = np.full(len(points), np.nan)
    for row, point in gains_of.items():
        if is_within[row]:
            with np.errstate(invalid="ignore"):  # infinite in both directions
                gain[row] = point.gains.mean()
    criteria = pd.factorize(points.criterion)[0]
    weight = np.array([float(weights.get(name, 0)) for name in points.criterion])
    parts = shares_of_points(criteria, weight, gain)
    parts_of_levels = [
        shares_of_points(criteria, weight, np.where(level_of_point == place, gain, np.nan))
        for place in range(len(levels))
    ]
    overall, at_levels = corrected(
        estimate_score(_nonzero(parts), gains_of, confidence),
        [estimate_score(_nonzero(part), gains_of, confidence) for part in parts_of_levels],
    )
    error_rate = min(MOST_OFTEN_WRONG, 1 - confidence)
    kind = _kind(gains_of, parts)
    names = names_of_pair(points)
    table = level_table(levels, at_levels, names, error_rate, kind)
    sign = _sign(overall.value, levels)
    turned, order = overall.turned(sign), names[::sign]
    differs = bool(may_claim(np.array([overall.p_holm]), 1 - error_rate)[0])
    advice = Recommendation(
        order=(order[0], order[1]),
        verdict=_verdict(
            overall, labels.ARROW.join(order), differs, table, is_printed, points[is_within]
        ),
        score=turned.value,
        low=turned.low,
        high=turned.high,
        p=overall.p,
        p_holm=overall.p_holm,
        differs=differs,
        units=overall.units,
        kind=kind,
        basis=basis_text(overall, kind),
        needed=_needed(overall, error_rate * error_share(at_levels)),
        replicates=int(points.replicates.min()),
        levels=table,
        criteria=_compare_criteria(points, criteria, weights, gain, gains_of, sign, confidence),
        settings=settings,
        words="",
    )
    return replace(advice, words=advice_in_words(advice, titles, bounds))


def _nonzero(parts: np.ndarray) -> dict[int, float]:
    return {int(row): float(parts[row]) for row in np.flatnonzero(parts)}


def _needed(overall: ScoreEstimate, error_rate: float) -> float:
    """Return how many units a useful gain needs, as ``Recommendation.needed``."""
    if math.isnan(overall.p):
        return math.nan
    return batches_needed(USEFUL_GAIN, overall.deviation, overall.item_error, 1 - error_rate)


def _sign(score: float, levels: list[dict[str, Any]]) -> int:
    """Return 1 for the forward order, -1 for the backward one."""
    if not math.isnan(score):
        return -1 if score < 0 else 1
    counts = Counter(row["within"] for row in levels)
    return -1 if counts["backward"] > counts["forward"] else 1


def _kind(gains_of: Mapping[int, PointGains], parts: np.ndarray) -> str:
    """Return what the units of the points that count are."""
    kinds = {gains_of[row].kind for row in _nonzero(parts)}
    # a level of which there is one batch says nothing about another, whatever the others have
    return ONE_BATCH if ONE_BATCH in kinds else min(kinds, default="")


def _verdict(
    overall: ScoreEstimate,
    order: str,
    differs: bool,
    table: pd.DataFrame,
    is_printed: bool,
    counting: pd.DataFrame,
) -> str:
    """Return what may be said, in the words of ``Recommendation.verdict``.

    Args:
        overall: the score over all levels.
        order: that is better by it.
        differs: whether a test says so.
        table: ``Recommendation.levels``.
        is_printed: whether the numbers are printed ones.
        counting: the points at levels where both orders are within the bounds.
    """
    if counting.empty:
        return NEITHER if set(table.within) == {"neither"} else BOUNDS
    if not math.isfinite(overall.value):
        return INFINITE
    if overall.value == 0 and (counting.forward == counting.backward).all():
        return EQUAL
    if is_printed:
        return PRINTED
    claimed = set(table.order[table.differs])
    if len(claimed | ({order} if differs else set())) > 1:
        return DEPENDS
    if differs:
        return BETTER
    return LEVELS if claimed else UNTOLD


def _compare_criteria(
    points: pd.DataFrame,
    criteria: np.ndarray,
    weights: Mapping[str, float],
    gain: np.ndarray,
    gains_of: Mapping[int, PointGains],
    sign: int,
    confidence: float,
) -> pd.DataFrame:
    """Return ``Recommendation.criteria``: means over the levels that count, or over all."""
    has_gain = ~np.isnan(gain)
    sides = (points.forward.to_numpy(), points.backward.to_numpy())[::sign]
    units = points.unit.to_numpy()
    rows = []
    for code, name in enumerate(dict.fromkeys(points.criterion)):
        members = np.flatnonzero(criteria == code)
        counting = members[has_gain[members]]
        even = {int(row): 1 / len(counting) for row in counting}
        one = estimate_score(even, gains_of, confidence).turned(sign)
        shown = counting if len(counting) else members
        with np.errstate(invalid="ignore"):  # infinitely better at one level, worse at another
            chosen, other = (float(side[shown].mean()) for side in sides)
        numbers = (chosen, other, one.value, one.low, one.high, one.p)
        rows.append((name, weights.get(str(name), 0.0), *numbers, units[members[0]]))
    columns = ["criterion", "weight", "chosen", "other", "gain", "low", "high", "p", "unit"]
    return pd.DataFrame(rows, columns=columns)
