"""Pareto fronts as PNG: size against quality, a panel per pair."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from analysis.labels import Labels
from analysis.plots.fronts import Front, FrontGrid
from analysis.plots.literal import MOST_OF_CAPTION, matplotlib_text

_MOST_COLUMNS = 4
_PANEL = (2.6, 2.2)  # inches
_COLOURS = ("#0072B2", "#D55E00")  # of the two orders; Okabe and Ito, told apart by all
_FRONT = "#444444"


def draw_fronts(grid: FrontGrid, titles: Labels) -> Figure:
    """Draw a panel per pair: a mark per order and level, and a line through the best of them."""
    columns = min(_MOST_COLUMNS, len(grid.fronts))
    rows = -(-len(grid.fronts) // columns)
    with mpl.rc_context({"font.size": 8, "axes.grid": True, "grid.alpha": 0.25}):
        size = (max(4.5, _PANEL[0] * columns + 0.6), _PANEL[1] * rows + 0.9)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axis, front in zip(axes.flat, grid.fronts, strict=False):
            _draw_panel(axis, front)
            axis.set_xlabel(matplotlib_text(titles.criterion(grid.size)))
        for axis in axes.flat[len(grid.fronts) :]:
            axis.remove()
        for row in axes:
            row[0].set_ylabel(matplotlib_text(titles.criterion(grid.quality, unit=True)))
        figure.suptitle(matplotlib_text(grid.caption, MOST_OF_CAPTION), fontsize=9)
    return figure


def _draw_panel(axis: mpl.axes.Axes, front: Front) -> None:
    order_names = list(dict.fromkeys(front.orders))
    for colour, name in zip(_COLOURS, order_names, strict=False):
        is_order = np.array([order == name for order in front.orders])
        axis.plot(
            front.sizes[is_order],
            front.qualities[is_order],
            "o",
            color=colour,
            markersize=4,
            label=matplotlib_text(name),
        )
    by_size = np.argsort(front.sizes[front.is_best], kind="stable")
    axis.plot(
        front.sizes[front.is_best][by_size],
        front.qualities[front.is_best][by_size],
        "-",
        color=_FRONT,
        linewidth=1,
        zorder=0,
    )
    axis.set_title(matplotlib_text(front.title), fontsize=8)
    axis.legend(fontsize=6, loc="best")
