"""Names of criteria as a user gives them, and levels that are left out because another criterion fell too far."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import pandas as pd

from interventions.errors import InvalidInput


def known(name: str, there: Iterable[str]) -> str:
    """The name of a criterion, if the runs have it; raises InvalidInput with the nearest."""
    there = list(there)
    if name not in there:
        near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InvalidInput(
            f"the runs have no criterion {name!r}.{hint} They have: {', '.join(there)}"
        )
    return name


def within(points: pd.DataFrame, bounds: Mapping[str, float]) -> pd.DataFrame:
    """The points of levels where, in both orders, every bounding criterion is at least as good as its bound.

    Raises:
        InvalidInput: the points lack a bounding criterion, or it has no good direction.
    """
    outside = pd.Series(False, index=points.index)
    for name, bound in bounds.items():
        known(name, points.criterion.unique())
        of = points.criterion == name
        better = points.better[of].iloc[0]
        if better == "neither":
            raise InvalidInput(f"{name} cannot be a bound: neither direction of it is better")
        orders = points.loc[of, ["forward", "backward"]]
        good = (orders >= bound) if better == "higher" else (orders <= bound)
        outside |= ~points.point.isin(points.point[of][good.all(axis=1)])
    return points[~outside]
