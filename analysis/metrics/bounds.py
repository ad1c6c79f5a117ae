"""Check names of criteria, and leave out levels where another criterion fell too far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from interventions.errors import InvalidInput, did_you_mean


def check_criterion(name: str, known: Iterable[str]) -> str:
    """Return the name of a criterion if the runs have it.

    Raises:
        InvalidInput: they do not; the line names the nearest and all.

    Example:
        >>> check_criterion("mmlu", ["edit_success", "mmlu"])
        'mmlu'
    """
    known = list(known)
    if name not in known:
        hint = did_you_mean(name, known)
        raise InvalidInput(
            f"the runs have no criterion {name!r}.{hint} They have: {', '.join(known)}"
        )
    return name


def check_direction(name: str, better: str) -> None:
    """Raise InvalidInput if a criterion cannot be a bound, as neither direction of it is better."""
    if better == "neither":
        raise InvalidInput(f"{name} cannot be a bound: neither direction of it is better")


def within(points: pd.DataFrame, bounds: Mapping[str, float]) -> pd.DataFrame:
    """Return the points where both orders are at least as good as every bound.

    Args:
        points: rows of ``point``, with the bounding criteria.
        bounds: criterion to its worst value: ``{"mmlu": 0.4}``.

    Raises:
        InvalidInput: the points lack a bounding criterion, or it has no good direction.

    Example:
        >>> points = pd.DataFrame({
        ...     "point": [0, 1], "criterion": "mmlu", "better": "higher",
        ...     "forward": [0.6, 0.5], "backward": [0.5, 0.3],
        ... })
        >>> within(points, {"mmlu": 0.4}).point.tolist()
        [0]
    """
    is_outside = pd.Series(False, index=points.index)
    for name, bound in bounds.items():
        check_criterion(name, points.criterion.unique())
        bounding = points[points.criterion == name]
        better = bounding.better.unique().item()
        check_direction(name, better)
        orders = bounding[["forward", "backward"]]
        is_good = (orders >= bound) if better == "higher" else (orders <= bound)
        # a level is out for all criteria, not only for the one that is the bound
        good_points = bounding.point[is_good.all(axis=1)]
        is_outside |= ~points.point.isin(good_points)
    return points[~is_outside]
