"""How much better one order of a pair is than the opposite one: weights, gains and their parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

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
        if not 0 <= weight < np.inf:
            raise InvalidInput(f"weights must be at least 0, but {name} has {weight}")
        if points.better[points.criterion == name].unique().item() == "neither":
            raise InvalidInput(f"{name} cannot have a weight: neither direction of it is better")
    if not sum(weights.values()) > 0:
        raise InvalidInput("at least one weight must be greater than 0")


def default_weights(points: pd.DataFrame, catalogue: Catalogue) -> dict[str, float]:
    """Return a weight for each criterion in [0, 1] that the pair is about.

    These measure the work of one of the pair's categories (edit success, if it edits), or what any
    model can do. What is measured has weight 1: criteria of one group measure one thing (locality
    and preservation), so they share it; a part of another criterion would count twice, so it has
    none.

    Args:
        points: of one pair.
        catalogue: knows what criteria measure.
    """
    categories = {"", *(category_of(name, catalogue) for name in names_of_pair(points))}
    is_share = points.unit.isin(SHARES) & (points.better != "neither")
    names = [str(name) for name in points[is_share].criterion.unique()]
    groups = {
        name: catalogue.criteria[name].group or name
        for name in names
        if catalogue.criteria[name].category in categories
        and not _is_part(name, catalogue.criteria[name], names)
    }
    sizes = Counter(groups.values())
    return {name: 1 / sizes[group] for name, group in groups.items()}


def names_of_pair(points: pd.DataFrame) -> tuple[str, str]:
    """Return intervention and partner of the points of one pair."""
    return str(points.intervention.unique().item()), str(points.partner.unique().item())


def _is_part(name: str, facts: CriterionFacts, names: list[str]) -> bool:
    """Return whether a criterion's group is named after another one: it is a part of that one."""
    return facts.group != name and facts.group in names


def gains(
    better: str, unit: str, chance: float | None, forward: np.ndarray, backward: np.ndarray
) -> np.ndarray:
    """Return how much better the forward order is, in the good direction of a criterion.

    A difference; for values without an upper bound (perplexity, bits) halvings,
    log2(backward / forward). Where lower is better, nothing is gained below chance: a model that
    guesses has forgotten, and one that is wrong more often has not forgotten more.

    Args:
        better: which direction of the criterion is good.
        unit: of the criterion.
        chance: the value that guessing gets, if there is one.
        forward: values after the forward order.
        backward: values after the backward order, of the same shape.

    Returns:
        Of the same shape; NaN where both values are infinite, or neither direction is better.

    Example:
        >>> gains("lower", "accuracy", 0.25, np.array([0.10, 0.30]), np.array([0.20, 0.50]))
        array([0. , 0.2])
        >>> gains("lower", "perplexity", None, np.array([8.0]), np.array([32.0]))
        array([2.])
    """
    if better == "neither":
        return np.full(np.shape(forward), np.nan)
    sign = 1.0 if better == "higher" else -1.0
    with np.errstate(all="ignore"):  # infinite in both orders: no difference can be told
        if unit not in SHARES:
            return np.asarray(sign * (np.log2(forward) - np.log2(backward)) + 0.0)
        if better == "lower" and chance is not None:
            forward, backward = np.maximum(forward, chance), np.maximum(backward, chance)
        # + 0.0 turns -0.0, which is printed with its sign, into 0.0
        return np.asarray(sign * (forward - backward) + 0.0)


def shares_of_points(criteria: np.ndarray, weight: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return the part of each point in the score; the parts add up to 1.

    It is the weight of the point's criterion, spread evenly over the levels that have a gain.

    Args:
        criteria: a code of each point's criterion, shape (points,).
        weight: of each point's criterion, shape (points,).
        gain: of each point, NaN where it does not count, shape (points,).

    Example:
        >>> shares_of_points(np.array([0, 1, 0]), np.array([1, 3, 1]), np.array([0.1, 0.2, 0.3]))
        array([0.125, 0.75 , 0.125])
    """
    has_gain = ~np.isnan(gain)
    counts = np.bincount(criteria, weights=has_gain)[criteria]
    parts = np.where(has_gain, weight / np.maximum(counts, 1), 0.0)
    total: float = parts.sum()
    return parts / total if total else parts
