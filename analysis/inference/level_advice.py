"""The levels of one pair: which orders are within the bounds, and tests that belong together."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.inference.corrections import may_claim
from analysis.inference.recommendation import ITEMS_ONLY
from analysis.inference.score_estimate import ScoreEstimate, weighted_holm
from analysis.inference.units import ONE_BATCH, SEEDS

# of the test over all levels against those of the single levels together: it gets two thirds of the
# 5 % that all may be wrong together, however many levels there are
OVERALL_WEIGHT = 2


def levels_within(settings: pd.DataFrame) -> list[dict[str, Any]]:
    """Return ``strength, level`` and which orders are ``within`` the bounds there, per level."""
    count = len(settings) // 2  # the forward order's settings come first
    within = settings.within.tolist()
    words = {(True, True): "both", (True, False): "forward", (False, True): "backward"}
    columns = (settings.strength[:count], settings.level[:count], within[:count], within[count:])
    return [
        {"strength": strength, "level": level, "within": words.get((first, second), "neither")}
        for strength, level, first, second in zip(*columns, strict=True)
    ]


def positions_of_levels(points: pd.DataFrame, levels: list[dict[str, Any]]) -> np.ndarray:
    """Return the position in ``levels`` of each point, shape (points,)."""
    # a pair without levels has NaN for one, which equals nothing
    position_of = {
        (row["strength"], _without_nan(row["level"])): place for place, row in enumerate(levels)
    }
    rows = zip(points.strength, map(_without_nan, points.level), strict=True)
    return np.array([position_of[row] for row in rows])


def _without_nan(level: float) -> float:
    return -math.inf if math.isnan(level) else level


def corrected(
    overall: ScoreEstimate, at_levels: list[ScoreEstimate]
) -> tuple[ScoreEstimate, list[ScoreEstimate]]:
    """Return the estimates with ``p_holm``: most of the level is for the score over all."""
    tested = [one for one in at_levels if not math.isnan(one.value)]
    if count_tests(at_levels) < 2:  # at a single level it is the same test twice
        same = replace(overall, p_holm=overall.p)
        return same, [replace(one, p_holm=one.p) for one in at_levels]
    family = [overall, *tested]
    p_values = weighted_holm(
        [one.p for one in family], [OVERALL_WEIGHT * len(tested), *[1] * len(tested)]
    )
    p_of_levels = iter(p_values[1:])
    return replace(overall, p_holm=p_values[0]), [
        one if math.isnan(one.value) else replace(one, p_holm=next(p_of_levels))
        for one in at_levels
    ]


def error_share(at_levels: list[ScoreEstimate]) -> float:
    """Return which share of all errors the test over all levels may make."""
    return OVERALL_WEIGHT / (OVERALL_WEIGHT + 1) if count_tests(at_levels) > 1 else 1.0


def count_tests(at_levels: list[ScoreEstimate]) -> int:
    """Return at how many levels there is a score."""
    return sum(not math.isnan(one.value) for one in at_levels)


def basis_text(one: ScoreEstimate, kind: str) -> str:
    """Return what an interval is over, in the words of ``Recommendation.basis``."""
    if math.isnan(one.low):
        return ""
    if one.items_only:
        return ONE_BATCH if kind != SEEDS and one.units == 1 else ITEMS_ONLY
    return f"{kind} and items" if one.with_items and kind != ONE_BATCH else kind


def level_table(
    levels: list[dict[str, Any]],
    estimates: list[ScoreEstimate],
    names: tuple[str, str],
    error_rate: float,
    kind: str,
) -> pd.DataFrame:
    """Return ``Recommendation.levels``."""
    p_holm = np.array([one.p_holm for one in estimates])
    differs = may_claim(p_holm, 1 - error_rate)
    rows = []
    for row, one, is_claim in zip(levels, estimates, differs, strict=True):
        sign = -1 if one.value < 0 or row["within"] == "backward" else 1
        turned = one.turned(sign)
        rows.append(
            {
                "strength": row["strength"],
                "level": row["level"],
                "order": labels.ARROW.join(names[::sign]),
                "score": turned.value,
                "low": turned.low,
                "high": turned.high,
                "p": one.p,
                "p_holm": one.p_holm,
                "differs": bool(is_claim),
                "units": one.units,
                "basis": basis_text(one, kind),
                "within": row["within"],
            }
        )
    return pd.DataFrame(rows)
