"""How much better one order of a pair is than the opposite one, by criterion and over all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.inference.bootstrap import along, sign_of
from analysis.labels import SHARES
from analysis.metrics.bounds import check_criterion
from analysis.metrics.groups import category_of
from interventions.errors import InvalidInput
from tracking.catalogue import Catalogue, CriterionFacts


def check_weights(points: pd.DataFrame, weights: Mapping[str, float]) -> None:
    """Raise InvalidInput if a criterion is unknown or has no direction, or no weight is above 0."""
    known = list(dict.fromkeys(points.criterion))
    for name, weight in weights.items():
        check_criterion(name, known)
        if not weight >= 0:
            raise InvalidInput(f"weights must be at least 0, but {name} has {weight}")
        if points.better[points.criterion == name].iloc[0] == "neither":
            raise InvalidInput(f"{name} cannot have a weight: neither direction of it is better")
    if not sum(weights.values()) > 0:
        raise InvalidInput("at least one weight must be greater than 0")


def default_weights(points: pd.DataFrame, catalogue: Catalogue) -> dict[str, float]:
    """Return weight 1 for each criterion in [0, 1] that the pair is about.

    These measure the work of one of the pair's categories (edit success, if it edits), or what any
    model can do. A part of another criterion would count twice, so it has no weight.

    Args:
        points: of one pair.
        catalogue: knows what criteria measure.
    """
    categories = {"", *(category_of(name, catalogue) for name in _names(points))}
    is_share = points.unit.isin(SHARES) & (points.better != "neither")
    names = [str(name) for name in points[is_share].criterion.unique()]
    return {
        name: 1.0
        for name in names
        if catalogue.criteria[name].category in categories
        and not _is_part(name, catalogue.criteria[name], names)
    }


def _names(points: pd.DataFrame) -> tuple[str, str]:
    return str(points.intervention.iloc[0]), str(points.partner.iloc[0])


def _is_part(name: str, facts: CriterionFacts, names: list[str]) -> bool:
    """Return whether a criterion's group is named after another one: it is a part of that one."""
    return facts.group != name and facts.group in names


def gains(
    points: pd.DataFrame, positions: np.ndarray, forward: np.ndarray, backward: np.ndarray
) -> np.ndarray:
    """Return how much better the forward order is, in the good direction of each criterion.

    A difference; for values without an upper bound (perplexity, bits) halvings,
    log2(backward / forward).

    Args:
        points: tell each criterion's direction and unit.
        positions: which of the points the values are of, shape (points,).
        forward: values after the forward order, shape (points, …).
        backward: values after the backward order, of the same shape.

    Returns:
        Shape (points, …); NaN where both values are infinite, or neither direction is better.
    """
    sign = along(sign_of(points).to_numpy()[positions], forward)
    is_share = along(points.unit.isin(SHARES).to_numpy()[positions], forward)
    with np.errstate(all="ignore"):  # infinite in both orders: no difference can be told
        halvings = np.log2(forward) - np.log2(backward)
        return np.where(is_share, sign * (forward - backward), sign * halvings)


def shares_of_points(points: pd.DataFrame, weight: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return the part of each point in the score; the parts add up to 1.

    It is the weight of the point's criterion, spread evenly over the levels that have a gain.

    Args:
        points: of one pair.
        weight: of each point's criterion, shape (points,).
        gain: of each point, NaN where there is none, shape (points,).
    """
    has_gain = ~np.isnan(gain)
    criteria = points.criterion.to_numpy()
    counts = pd.Series(has_gain).groupby(criteria).transform("sum").to_numpy()
    parts = np.where(has_gain, weight / np.maximum(counts, 1), 0.0)
    total: float = parts.sum()
    return parts / total if total else parts


def certainty(
    parts: np.ndarray, draws: Mapping[int, np.ndarray], sign: int, confidence: float
) -> tuple[float, float, float]:
    """Return the interval of the score, and the share of resamples in which it is above zero.

    Args:
        parts: of ``shares_of_points``.
        draws: position to its resampled gains, shape (resamples,).
        sign: -1 if the backward order is recommended, else 1.
        confidence: of the interval, between 0 and 1.

    Returns:
        (low, high, sure); NaN if a point that counts has no resamples.
    """
    counting = np.flatnonzero(parts).tolist()
    if not counting or any(position not in draws for position in counting):
        return np.nan, np.nan, np.nan
    scores = sign * np.sum([parts[position] * draws[position] for position in counting], axis=0)
    low, high = _interval(scores, confidence)
    # a resample without a difference counts half for either order
    return low, high, float((scores > 0).mean() + (scores == 0).mean() / 2)


def _interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def compare_criteria(
    points: pd.DataFrame,
    weights: Mapping[str, float],
    gain: np.ndarray,
    draws: Mapping[int, np.ndarray],
    sign: int,
    confidence: float,
) -> pd.DataFrame:
    """Return a row per criterion: its mean over levels in both orders, and the gain.

    Args:
        points: of one pair.
        weights: criterion to weight.
        gain: of the forward order, shape (points,).
        draws: position to its resampled gains, shape (resamples,).
        sign: -1 if the backward order is recommended, else 1.
        confidence: of the intervals, between 0 and 1.

    Returns:
        ``criterion, weight, chosen, other, gain, low, high, unit``; the gain is that of the
        recommended order.
    """
    chosen, opposite = ("forward", "backward")[::sign]
    rows = []
    for name, group in points.assign(gain=gain * sign).groupby("criterion", sort=False):
        low, high = np.nan, np.nan
        if all(position in draws for position in group.index):
            mean_draws = np.mean([sign * draws[position] for position in group.index], axis=0)
            low, high = _interval(mean_draws, confidence)
        with np.errstate(invalid="ignore"):  # infinitely better at one level, worse at another
            means = [group[column].mean() for column in (chosen, opposite, "gain")]
        rows.append((name, weights.get(str(name), 0.0), *means, low, high, group.unit.iloc[0]))
    columns = ["criterion", "weight", "chosen", "other", "gain", "low", "high", "unit"]
    return pd.DataFrame(rows, columns=columns)
