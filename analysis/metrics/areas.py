"""Composability over a whole sweep: areas over the levels (paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid

from analysis.metrics.bounds import within
from analysis.metrics.columns import ADJUSTED, CURVE, MEASURES
from analysis.metrics.measures import complete
from interventions.arguments import check_columns, checked

_INTEGRATED = ("forward", "backward", *MEASURES, ADJUSTED)


@checked
def area(
    points: pd.DataFrame,
    bounds: Mapping[str, float] | None = None,
    raw: bool = False,
) -> pd.DataFrame:
    """Return order-free error and order sensitivity over the levels, by the trapezoidal rule.

    The axis is the strength's own (sparsity, bits). An area is divided by the range of the levels,
    so that sparsity and bits can be compared. A level that is out of bounds, or that one order
    lacks, is left out with the intervals beside it: nothing is drawn across a gap.

    Args:
        points: rows of ``point``, with every level.
        bounds: leave out levels where, in either order, another criterion is worse:
            ``{"mmlu": 0.4}``.
        raw: do not divide by the range.

    Returns:
        A row per pair and criterion that has at least two neighbouring levels: the columns
        ``analysis.metrics.columns.CURVE``; ``levels`` that count and those ``left_out``, as text;
        ``range``, the length that is covered; the areas under ``forward`` and ``backward``, of
        ``order_free_error``, ``order_free_error_adjusted`` and ``order_sensitivity``.

    Raises:
        InvalidInput: the points lack a bounding criterion, or it has no good direction.

    Example:
        From the rows that the paper prints, which ship with the code:

        >>> from analysis.metrics.points import point
        >>> from tracking.published import rows
        >>> printed = [row for row in rows() if {name for name, _ in row.steps} == {"ft", "awq"}]
        >>> runs = pd.DataFrame([{**row.params(), **row.values} for row in printed])
        >>> runs = runs.assign(run_id=runs.composition).astype({"awq.bits": float})
        >>> areas = area(point(runs, ["edit_success"]))
        >>> areas[["levels", "range", "order_free_error", "order_sensitivity"]].round(2)
                levels  range  order_free_error  order_sensitivity
        0  2 3 4 5 6 8    6.0              0.09               0.06
    """
    check_columns("points", points, (*CURVE, "strength", "level", *_INTEGRATED))
    inside = within(points, bounds).index if bounds else points.index
    swept = points[points.strength != ""].sort_values([*CURVE, "level"])
    is_usable = (complete(swept) & swept.index.isin(inside)).to_numpy()
    values = {name: swept[name].to_numpy(float) for name in _INTEGRATED}
    levels = swept.level.to_numpy()
    curves: Any = swept.groupby(CURVE, sort=False).indices
    rows = []
    for key, positions in curves.items():
        # one level alone has no width
        stretches = [part for part in _stretches(positions, is_usable) if len(part) > 1]
        if not stretches:
            continue
        length = sum(levels[part[-1]] - levels[part[0]] for part in stretches)
        divisor = 1 if raw else length
        areas = [_integral(column, levels, stretches) / divisor for column in values.values()]
        counted = levels[np.concatenate(stretches)]
        left_out = np.setdiff1d(levels[positions], counted)
        rows.append((*key, _text(counted), _text(left_out), length, *areas))
    return pd.DataFrame(rows, columns=[*CURVE, "levels", "left_out", "range", *values])


def _stretches(positions: np.ndarray, is_usable: np.ndarray) -> list[np.ndarray]:
    """Cut positions into runs of neighbours, and return those that are usable."""
    changes = np.flatnonzero(np.diff(is_usable[positions].astype(int))) + 1
    parts = np.split(positions, changes)
    return [part for part in parts if is_usable[part[0]]]


def _integral(heights: np.ndarray, levels: np.ndarray, stretches: list[np.ndarray]) -> Any:
    return sum(trapezoid(heights[part], levels[part]) for part in stretches)


def _text(levels: np.ndarray) -> str:
    return " ".join(f"{level:g}" for level in levels)
