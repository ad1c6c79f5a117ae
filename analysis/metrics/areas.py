"""Composability over a whole sweep: areas over the levels (paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid

from analysis.metrics.align import VARIANT
from analysis.metrics.bounds import within
from analysis.metrics.points import ADJUSTED, DESCRIBED, MEASURES, complete

CURVE = ["intervention", "partner", "criterion", "strength", "settings", *VARIANT, *DESCRIBED]


def area(
    points: pd.DataFrame,
    bounds: Mapping[str, float] | None = None,
    raw: bool = False,
) -> pd.DataFrame:
    """Order-free error and order sensitivity over the levels: trapezoidal rule on the strength's own axis.

    Divided by the range of the levels, so that sparsity and bits can be compared. A level that is out of bounds, or
    that one order lacks, is left out with the intervals beside it: nothing is drawn across a gap.

    Args:
        points: rows of ``point``, with every level.
        bounds: leave out levels where, in either order, another criterion is worse: ``{"mmlu": 0.4}``.
        raw: not divided by the range.

    Returns:
        A row per pair and criterion that has at least two neighbouring levels: ``CURVE``; ``levels`` that count and
        those ``left_out``, as text; ``range``, the length that is covered; the areas under ``forward`` and
        ``backward``, of ``order_free_error``, ``order_free_error_adjusted`` and ``order_sensitivity``.
    """
    inside = within(points, bounds).index if bounds else points.index
    swept = points[points.strength != ""].sort_values([*CURVE, "level"])
    usable = (complete(swept) & swept.index.isin(inside)).to_numpy()
    values = {
        name: swept[name].to_numpy(float) for name in ("forward", "backward", *MEASURES, ADJUSTED)
    }
    levels, rows = swept.level.to_numpy(), []
    curves: Any = swept.groupby(CURVE, sort=False).indices
    for key, at in curves.items():
        stretches = [part for part in _stretches(at, usable) if len(part) > 1]
        length = sum(levels[part[-1]] - levels[part[0]] for part in stretches)
        if not stretches:
            continue
        counted = np.concatenate(stretches)
        areas = {
            name: sum(trapezoid(column[part], levels[part]) for part in stretches)
            / (1 if raw else length)
            for name, column in values.items()
        }
        left = np.setdiff1d(levels[at], levels[counted])
        rows.append((*key, _text(levels[counted]), _text(left), length, *areas.values()))
    return pd.DataFrame(rows, columns=[*CURVE, "levels", "left_out", "range", *values])


def _stretches(at: np.ndarray, usable: np.ndarray) -> list[np.ndarray]:
    """Positions cut into runs of neighbouring usable levels."""
    parts = np.split(at, np.flatnonzero(np.diff(usable[at].astype(int))) + 1)
    return [part for part in parts if usable[part[0]]]


def _text(levels: np.ndarray) -> str:
    return " ".join(f"{level:g}" for level in levels)
