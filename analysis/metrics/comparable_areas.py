"""Areas of methods that compete, each over the levels that all of them have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.metrics.areas import LOGARITHMIC, curve_heights, levels_as_text, mean_heights
from analysis.metrics.bounds import within
from analysis.metrics.columns import CURVE, MEASURES
from analysis.metrics.measures import complete
from analysis.metrics.wins import cells
from interventions.arguments import check_columns, checked

_CONTEST = ["group", "versus", "versus_group", "criterion", "strength", "context"]


@checked
def comparable_areas(
    points: pd.DataFrame, bounds: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Return the areas of the methods of each group over the levels that all of them have.

    An area over sparsity 0.25 to 0.75 is not better than one over 0.25 to 0.95 because it is
    smaller. A method with fewer than two levels has no area, and does not restrict the others.

    Args:
        points: rows of ``point``, with every level.
        bounds: leave out levels where, in either order, another criterion is worse.

    Returns:
        Cells as ``cells`` gives them, for ``wins`` and ``duels``, a row per method of a group,
        opponent and criterion: ``level`` is NaN, and ``levels`` names those that all have, as
        text. Nothing where methods have fewer than two levels in common.

    Raises:
        InvalidInput: the points lack a bounding criterion, or it has no good direction.

    Example:
        The paper has AWQ at 2, 3, 4, 5, 6 and 8 bits, but GPTQ at 2, 3, 4 and 8:

        >>> from analysis.metrics.points import point
        >>> from tracking.published import rows
        >>> printed = [row for row in rows() if {name for name, _ in row.steps}
        ...            in ({"ft", "awq"}, {"ft", "gptq"})]
        >>> runs = pd.DataFrame([{**row.params(), **row.values} for row in printed])
        >>> runs = runs.assign(run_id=runs.composition)
        >>> runs = runs.astype({"awq.bits": float, "gptq.bits": float})
        >>> areas = comparable_areas(point(runs, ["edit_success"]))
        >>> areas[areas.group == "quantization"][["method", "levels"]]
          method   levels
        0    awq  2 3 4 8
        1   gptq  2 3 4 8
    """
    check_columns("points", points, (*CURVE, "strength", "level", *MEASURES))
    inside = within(points, bounds).index if bounds else points.index
    swept = points[points.strength != ""]
    is_usable = (complete(swept) & swept.index.isin(inside)).to_numpy()
    swept = swept.reset_index(drop=True)
    heights = {name: column for name, column in curve_heights(swept).items() if name in MEASURES}
    levels, is_log = swept.level.to_numpy(float), swept.unit.isin(LOGARITHMIC).to_numpy()
    in_contest = cells(swept)
    rows = []
    for key, contest in in_contest.groupby(_CONTEST, sort=False):
        of_method: dict[str, np.ndarray] = {}
        for method, group in contest.groupby("method", sort=False):
            positions = group.row.to_numpy()
            of_method[str(method)] = positions[np.argsort(levels[positions], kind="stable")]
        stretches_of = _common_stretches(of_method, levels, is_usable)
        for method, stretches in stretches_of.items():
            length = sum(levels[part[-1]] - levels[part[0]] for part in stretches)
            exponentiates = bool(is_log[stretches[0][0]])
            areas = mean_heights(heights, levels, stretches, length, exponentiates)
            text = levels_as_text(levels[np.concatenate(stretches)])
            first = int(stretches[0][0])
            rows.append((*key, method, np.nan, *areas, first, text))
    columns = [*_CONTEST, "method", "level", *heights, "row", "levels"]
    return pd.DataFrame(rows, columns=columns)


def _common_stretches(
    of_method: Mapping[str, np.ndarray], levels: np.ndarray, is_usable: np.ndarray
) -> dict[str, list[np.ndarray]]:
    """Return for each method the positions of neighbouring levels that all methods have.

    Nothing is drawn across a level that a method was run at, and that cannot be used.

    Args:
        of_method: positions of each method's points, by rising level.
        levels: of all points.
        is_usable: whether each point counts.
    """
    competing = {
        method: positions
        for method, positions in of_method.items()
        if is_usable[positions].sum() > 1
    }
    usable: list[Any] = [set(levels[at[is_usable[at]]]) for at in competing.values()]
    common = sorted(set.intersection(*usable)) if usable else []
    gaps = [level for at in competing.values() for level in levels[at[~is_usable[at]]]]
    parts: list[list[float]] = [[]]
    for level in common:
        if parts[-1] and any(parts[-1][-1] < gap < level for gap in gaps):
            parts.append([])
        parts[-1].append(level)
    wide = [part for part in parts if len(part) > 1]
    if not wide:
        return {}
    return {
        method: [
            np.array([at[(levels[at] == level) & is_usable[at]][0] for level in part])
            for part in wide
        ]
        for method, at in competing.items()
    }
