"""Composability over a whole sweep: areas over the levels (paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid

from analysis.metrics.alone import ALONE
from analysis.metrics.bounds import within
from analysis.metrics.columns import ADJUSTED, CURVE, MEASURES
from analysis.metrics.measures import complete
from interventions.arguments import check_columns, checked
from tracking.measures import order_free_error

LOGARITHMIC = ("perplexity",)  # units that are integrated as logarithms, as they are drawn
OVER_ALONE = ("error_over_intervention", "error_over_partner")
_INTEGRATED = ("forward", "backward", *MEASURES, ADJUSTED)


@checked
def area(
    points: pd.DataFrame,
    bounds: Mapping[str, float] | None = None,
    raw: bool = False,
) -> pd.DataFrame:
    """Return order-free error and order sensitivity over the levels, by the trapezoidal rule.

    The axis is the strength's own (sparsity, bits), as in the figures. An area is divided by the
    range of the levels, so that sparsity and bits can be compared. A level that is out of bounds,
    or that one order lacks, is left out with the intervals beside it: nothing is drawn across a
    gap. Perplexity is integrated as its natural logarithm: its values are geometric means, and its
    sensitivity is the mean of |ln(forward / backward)|.

    Two rows are comparable where their ``levels`` are equal; ``comparable_areas`` makes them so.

    Args:
        points: rows of ``point``, with every level.
        bounds: leave out levels where, in either order, another criterion is worse:
            ``{"mmlu": 0.4}``.
        raw: do not divide by the range; of perplexity these are integrals of logarithms.

    Returns:
        A row per pair and criterion that has at least two neighbouring levels: the columns
        ``analysis.metrics.columns.CURVE``; ``levels`` that count and those ``left_out``, as text;
        ``range``, the length that is covered; the areas under ``forward`` and ``backward``, of
        ``order_free_error``, ``order_free_error_adjusted`` and ``order_sensitivity``;
        ``error_over_intervention`` and ``error_over_partner``, by how much the order-free error is
        larger than the error of either alone (of perplexity the log-ratio; negative: smaller; NaN
        where it was not run alone).

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
    heights = curve_heights(swept)
    levels, is_log = swept.level.to_numpy(), swept.unit.isin(LOGARITHMIC).to_numpy()
    curves: Any = swept.groupby(CURVE, sort=False).indices
    rows = []
    for key, positions in curves.items():
        # one level alone has no width
        stretches = [part for part in _stretches(positions, is_usable) if len(part) > 1]
        if not stretches:
            continue
        length = sum(levels[part[-1]] - levels[part[0]] for part in stretches)
        exponentiates = bool(is_log[positions[0]]) and not raw
        areas = mean_heights(heights, levels, stretches, 1 if raw else length, exponentiates)
        counted = levels[np.concatenate(stretches)]
        left_out = np.setdiff1d(levels[positions], counted)
        texts = (levels_as_text(counted), levels_as_text(left_out))
        rows.append((*key, *texts, length, *areas))
    return pd.DataFrame(rows, columns=[*CURVE, "levels", "left_out", "range", *heights])


def curve_heights(points: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what is integrated, by name, each of shape (points,): of perplexity the logarithms.

    Args:
        points: rows of ``point``; where they lack what an intervention does alone, it is NaN.
    """
    is_log = points.unit.isin(LOGARITHMIC).to_numpy()
    values = {name: points[name].to_numpy(float) for name in _INTEGRATED}
    with np.errstate(divide="ignore", invalid="ignore"):  # no perplexity is 0, other values are
        heights = {
            name: np.where(is_log, np.log(column), column) for name, column in values.items()
        }
        ratio = np.abs(heights["forward"] - heights["backward"])
        heights[MEASURES[1]] = np.where(is_log, ratio, values[MEASURES[1]])
        for name, column in zip(OVER_ALONE, ALONE, strict=True):
            alone = points[column] if column in points else pd.Series(np.nan, index=points.index)
            error = order_free_error(alone, alone, points.better)
            error = np.where(is_log, np.log(error), error)
            heights[name] = heights[MEASURES[0]] - error
    return heights


def mean_heights(
    heights: Mapping[str, np.ndarray],
    levels: np.ndarray,
    stretches: Sequence[np.ndarray],
    divisor: float,
    exponentiates: bool,
) -> list[float]:
    """Return the integral of each curve over a divisor.

    Args:
        heights: of ``curve_heights``.
        levels: shape (points,).
        stretches: positions of neighbouring levels, between which curves are drawn.
        divisor: the range of the levels, for their means.
        exponentiates: whether the curves of values, which are logarithms, become values again.
    """
    areas = []
    for name, column in heights.items():
        whole = sum(trapezoid(column[part], levels[part]) for part in stretches) / divisor
        is_difference = name in (MEASURES[1], *OVER_ALONE)
        areas.append(float(np.exp(whole) if exponentiates and not is_difference else whole))
    return areas


def _stretches(positions: np.ndarray, is_usable: np.ndarray) -> list[np.ndarray]:
    """Cut positions into runs of neighbours, and return those that are usable."""
    changes = np.flatnonzero(np.diff(is_usable[positions].astype(int))) + 1
    parts = np.split(positions, changes)
    return [part for part in parts if is_usable[part[0]]]


def levels_as_text(levels: np.ndarray) -> str:
    """Return levels with spaces between.

    Example:
        >>> levels_as_text(np.array([0.25, 0.5]))
        '0.25 0.5'
    """
    return " ".join(f"{level:g}" for level in levels)
