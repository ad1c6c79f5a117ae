"""Order sensitivity of all pairs as PNG."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from analysis import labels
from analysis.labels import Labels
from analysis.plots.heat import Heat
from analysis.plots.literal import MOST_OF_CAPTION, matplotlib_text

_MOST_COLUMNS = 3
_CELL, _MARGIN = 0.42, 1.1  # inches


def draw_heat(heat: Heat, titles: Labels) -> Figure:
    """Draw a matrix per criterion; cells without a pair are grey."""
    count = len(heat.criteria)
    columns = min(_MOST_COLUMNS, count)
    rows = -(-count // columns)
    side = _CELL * len(heat.methods) + _MARGIN
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(side * columns + 0.8, side * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis, criterion in zip(axes.flat, heat.criteria, strict=False):
            image = _draw_matrix(axis, heat, criterion)
            axis.set_title(matplotlib_text(titles.criterion(criterion)))
        for axis in axes.flat[count:]:
            axis.remove()
        figure.colorbar(image, ax=list(axes.flat[:count]), shrink=0.6, label="order sensitivity ↓")
        figure.suptitle(matplotlib_text(heat.caption, MOST_OF_CAPTION), fontsize=9)
    return figure


def _draw_matrix(axis: Any, heat: Heat, criterion: str) -> Any:
    """Draw one criterion's matrix with its numbers; return the image that the colour bar is of."""
    values = heat.values[criterion]
    scale = mpl.colormaps["Blues"].with_extremes(bad="0.82")
    image = axis.imshow(values, cmap=scale, vmin=0, vmax=heat.most)
    ticks = range(len(heat.methods))
    methods = [matplotlib_text(method) for method in heat.methods]
    axis.set_xticks(ticks, methods, rotation=90)
    axis.set_yticks(ticks, methods)
    centred: Any = {"ha": "center", "va": "center", "fontsize": 6}
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        value = values[row, column]
        colour = "white" if value > heat.most / 2 else "black"
        axis.text(column, row, labels.number(value).removeprefix("0"), color=colour, **centred)
    return image
