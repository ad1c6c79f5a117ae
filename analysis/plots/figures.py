"""Curves as PNG: criteria over the level in the paper's layout."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.labels import Labels
from analysis.plots.colours import assign_colours
from analysis.plots.literal import MOST_OF_CAPTION, matplotlib_text
from analysis.plots.panels import Panel, PanelGrid

_DPI = 160
_PANEL = (2.5, 2.0)  # inches
_DASHES = (0, (4, 3))
_FIRST_TRIANGLE, _TRIANGLE_STEP = 0.95, 0.07  # shares of the axis' height
_VERBS = {"editing": "edit", "unlearning": "unlearn"}
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def draw(grid: PanelGrid, titles: Labels) -> Figure:
    """Draw a panel per criterion and method: both orders, the area between them, the baselines."""
    with mpl.rc_context(_STYLE):
        size = (max(5.5, _PANEL[0] * len(grid.columns) + 0.8), _PANEL[1] * len(grid.rows) + 1.6)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(grid.rows), len(grid.columns), squeeze=False, sharey="row")
        colours = assign_colours(grid)
        for (row, column), panel in grid.panels.items():
            _draw_panel(axes[row, column], panel, grid, colours)
            if row == 0:
                axes[row, column].set_title(matplotlib_text(grid.columns[column]))
            if row == len(grid.rows) - 1:
                axes[row, column].set_xlabel(matplotlib_text(panel.strength.capitalize()))
            if column == 0:
                title = titles.criterion(panel.criterion, unit=True)
                axes[row, column].set_ylabel(matplotlib_text(title))
        figure.legend(
            handles=_legend(grid, colours),
            loc="outside lower center",
            ncols=min(5, len(grid.columns) + 2),
        )
        figure.suptitle(matplotlib_text(grid.caption, MOST_OF_CAPTION), fontsize=10)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, in a folder that is made if it is missing; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # where names leave little room, the figure is drawn as it is, without its layout
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        # what ``savefig`` gives, but drawn once instead of twice
        figure.set_dpi(_DPI)
        FigureCanvasAgg(figure).print_png(path)
    return path


def _draw_panel(axis: Any, panel: Panel, grid: PanelGrid, colours: dict[str, str]) -> None:
    _set_scales(axis, panel, grid)
    chance = grid.chance(panel.criterion)
    if chance is not None:
        axis.axhline(chance, color="grey", linestyle=_DASHES, linewidth=1)
    for curve in panel.curves:
        colour = colours[curve.title]
        levels, forward, backward = panel.with_common_end(curve)
        line: Any = {"color": colour, "markersize": 4, "linewidth": 1.4}
        axis.fill_between(
            levels, _finite(forward), _finite(backward), color=colour, alpha=0.25, linewidth=0
        )
        axis.plot(levels, _finite(forward), "-o", **line)
        axis.plot(levels, _finite(backward), "--o", **line, markerfacecolor="white")
        axis.plot(curve.alone_levels, _finite(curve.alone), ":", color=colour, linewidth=1.2)
    _mark_infinite(axis, panel, colours)


def _set_scales(axis: Any, panel: Panel, grid: PanelGrid) -> None:
    axis.set_xlim(*panel.axis.limits(*grid.level_range(panel)))
    if grid.is_logarithmic(panel.criterion):
        axis.set_yscale("log")


def _finite(values: np.ndarray) -> np.ndarray:
    """Return the values with a gap where one is infinite: nothing is drawn through it."""
    return np.where(np.isfinite(values), values, np.nan)


def _mark_infinite(axis: Any, panel: Panel, colours: dict[str, str]) -> None:
    """Draw a triangle near the upper edge for each infinite value, filled for the forward order.

    Every order of every curve has a height of its own, so that triangles do not hide each other.
    """
    height = _FIRST_TRIANGLE
    for curve in panel.curves:
        colour = colours[curve.title]
        levels, forward, backward = panel.with_common_end(curve)
        for values, face in ((forward, colour), (backward, "white")):
            infinite_levels = levels[np.isposinf(values)]
            if len(infinite_levels):
                axis.plot(
                    infinite_levels,
                    np.full(len(infinite_levels), height),
                    "^",
                    transform=axis.get_xaxis_transform(),
                    color=colour,
                    markerfacecolor=face,
                    markersize=5,
                )
            height -= _TRIANGLE_STEP


def _legend(grid: PanelGrid, colours: dict[str, str]) -> list[Any]:
    verb = _VERBS.get(grid.category, grid.category)
    line: Any = {"color": "0.3", "markersize": 4}
    open_dashed: Any = {"linestyle": "--", "markerfacecolor": "white"}
    handles: list[Any] = [
        Patch(color=colour, label=matplotlib_text(title)) for title, colour in colours.items()
    ]
    handles += [
        Line2D([], [], marker="o", label=f"{verb}, then compress", **line),
        Line2D([], [], marker="o", label=f"compress, then {verb}", **open_dashed, **line),
        Line2D([], [], linestyle=":", label="compression alone", **line),
    ]
    if any(grid.chance(criterion) is not None for criterion in grid.rows):
        handles.append(Line2D([], [], color="grey", linestyle=_DASHES, label="chance"))
    if any(np.isposinf([*curve.forward, *curve.backward]).any() for curve in grid.curves):
        handles.append(Line2D([], [], marker="^", linestyle="", label="infinite", **line))
    return handles
