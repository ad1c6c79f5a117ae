"""Choose the levels at which pairs are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.metrics.measures import complete
from interventions.errors import InvalidInput
from tracking.catalogue import Catalogue


def chosen_levels(
    points: pd.DataFrame, catalogue: Catalogue, requested: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return the level of each strength that a table shows: the nearest that both orders have.

    Nearest to the one that is requested, else to the paper's; the lowest where there is neither.

    Args:
        points: rows of ``point``.
        catalogue: knows the paper's level of each intervention.
        requested: strength to level, ``{"sparsity": 0.5}``.
    """
    wanted = {**_paper_levels(catalogue), **(requested or {})}
    swept = points[complete(points) & (points.strength != "")]
    chosen = {}
    for strength, group in swept.groupby(swept.strength.map(labels.strength_of), sort=False):
        levels = sorted(set(group.level))
        target = wanted.get(str(strength), levels[0])
        # of two levels that are equally near, the lower one
        distances = [abs(level - target) for level in levels]
        chosen[str(strength)] = levels[distances.index(min(distances))]
    return chosen


def _paper_levels(catalogue: Catalogue) -> dict[str, float]:
    """Return strength to the level at which the paper compares interventions that have it."""
    levels: dict[str, float] = {}
    for facts in catalogue.interventions.values():
        if facts.strength and facts.level is not None:
            levels.setdefault(facts.strength, float(facts.level))
    return levels


def at_levels(points: pd.DataFrame, levels: Mapping[str, float]) -> pd.DataFrame:
    """Return the points of the given levels; strengths that are not named keep all of theirs.

    Args:
        points: with ``strength``, ``level`` and the values of both orders.
        levels: strength to level, ``{"sparsity": 0.25}``.

    Raises:
        InvalidInput: no pair has such a strength, or none has such a level in both orders.
    """
    strengths = points.strength.map(labels.strength_of)
    is_chosen = ~strengths.isin(list(levels))
    for strength, level in levels.items():
        has_strength = strengths == strength
        if not has_strength.any():
            known = ", ".join(sorted(set(strengths) - {""})) or "none"
            raise InvalidInput(f"no pair has a strength named {strength!r}; there are: {known}")
        # levels are floats, in which 0.1 + 0.2 is not 0.3
        has_level = has_strength & np.isclose(points.level, level)
        if not (has_level & complete(points)).any():
            paired_levels = sorted(points.level[has_strength & complete(points)].unique())
            known = ", ".join(f"{paired_level:g}" for paired_level in paired_levels) or "none"
            raise InvalidInput(
                f"level {strength}={level:g}: {_runs_in_words(points[has_level])};"
                f" levels that both orders have: {known}"
            )
        is_chosen |= has_level
    return points[is_chosen].reset_index(drop=True)


def _runs_in_words(points: pd.DataFrame) -> str:
    """Return which orders have a level that no pair has in both orders."""
    if points.empty:
        return "no run has it"
    orders = []
    pairs: Any = points.drop_duplicates(["intervention", "partner"]).itertuples()
    for pair in pairs:
        names = [pair.intervention, pair.partner]
        orders.append(" → ".join(reversed(names) if pd.isna(pair.forward) else names))
    shown = orders[:3] + (["others"] if len(orders) > 3 else [])
    return f"only {' and '.join(shown)} has it"
