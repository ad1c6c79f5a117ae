"""Several models or settings side by side: the gain of each pair's first order in each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import Labels
from analysis.metrics.columns import VARIANT
from analysis.metrics.measures import complete
from analysis.tables.table import Block

_ROW = ["intervention", "partner", *VARIANT[1:], "strength", "level", "criterion"]


def side_by_side_block(points: pd.DataFrame, titles: Labels) -> Block | None:
    """Return the gains of the pairs that several contexts have, a column per context.

    Whether two contexts differ is not tested.

    Args:
        points: rows of ``with_claims``; those that a pair is about are shown.
        titles: for rows.

    Returns:
        None where no pair, level and criterion is in two contexts.
    """
    shown = points[complete(points) & points.about]
    counts = shown.groupby(_ROW, dropna=False).context.transform("nunique")
    shared = shown[counts > 1]
    if shared.empty:
        return None
    contexts = list(dict.fromkeys(shared.context))
    rows: dict[str, dict[str, Any]] = {}
    groups = shared.groupby(_ROW, sort=False, dropna=False)
    for _, group in groups:
        of_context: Any = {row.context: row for row in group.itertuples()}
        rows[_row_label(next(iter(of_context.values())), titles)] = of_context
    cells = [[_cell(of_row.get(name)) for name in contexts] for of_row in rows.values()]
    values = pd.DataFrame([[text for text, _ in row] for row in cells], list(rows), contexts)
    runs = pd.DataFrame([[ids for _, ids in row] for row in cells], list(rows), contexts, object)
    return Block(values, values.notna() & False, runs)


def _row_label(point: Any, titles: Labels) -> str:
    sides = [
        titles.method(getattr(point, side), getattr(point, f"{side}_variant"))
        for side in ("intervention", "partner")
    ]
    level = labels.level_text(point.strength, point.level)
    where = f" at {level}" if level else ""
    return f"{labels.ARROW.join(sides)}{where}, {titles.criterion(point.criterion)}"


def _cell(point: Any) -> tuple[str, Any]:
    """Return the gain with its interval, and the runs behind it; a dash where there is none."""
    if point is None:
        return labels.NOTHING, None
    text = f"{round(point.gain, 3) + 0.0:.3f}" if np.isfinite(point.gain) else labels.NOTHING
    if np.isfinite(point.gain_low) and np.isfinite(point.gain_high):
        text += f" ({point.gain_low:.3f} to {point.gain_high:.3f})"
    return text, tuple(dict.fromkeys(point.forward_runs + point.backward_runs))
