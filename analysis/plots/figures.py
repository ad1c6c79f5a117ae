"""Figures as PNG: criteria over the level in the paper's layout, and order sensitivity over all pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import labels
from analysis.labels import Labels
from analysis.plots.curves import Panel, PanelGrid, colours
from analysis.plots.heat import Heat

_PANEL = (2.5, 2.0)  # inches
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def draw(grid: PanelGrid, titles: Labels) -> Figure:
    """A panel per criterion and method; both orders, the area between them shaded, the baselines."""
    with mpl.rc_context(_STYLE):
        size = (max(5.5, _PANEL[0] * len(grid.columns) + 0.8), _PANEL[1] * len(grid.rows) + 1.6)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(grid.rows), len(grid.columns), squeeze=False, sharey="row")
        shades = colours(grid)
        for (i, j), panel in grid.panels.items():
            _draw_panel(axes[i, j], panel, grid, shades)
            if i == 0:
                axes[i, j].set_title(grid.columns[j])
            if i == len(grid.rows) - 1:
                axes[i, j].set_xlabel(panel.strength.capitalize())
            if j == 0:
                axes[i, j].set_ylabel(titles.criterion(panel.criterion, unit=True))
        figure.legend(
            handles=_legend(grid, shades),
            loc="outside lower center",
            ncols=min(5, len(grid.columns) + 2),
        )
        figure.suptitle(grid.caption, fontsize=10)
    return figure


def _draw_panel(axis: Any, panel: Panel, grid: PanelGrid, shades: dict[str, str]) -> None:
    criterion = panel.criterion
    _scales(axis, panel, grid)
    if grid.chance(criterion) is not None:
        axis.axhline(grid.chance(criterion), color="grey", linestyle=(0, (4, 3)), linewidth=1)
    for curve in panel.curves:
        colour = shades[curve.title]
        x, forward, backward = panel.ended(curve)
        axis.fill_between(
            x, _finite(forward), _finite(backward), color=colour, alpha=0.25, linewidth=0
        )
        axis.plot(x, _finite(forward), "-o", color=colour, markersize=4, linewidth=1.4)
        axis.plot(
            x,
            _finite(backward),
            "--o",
            color=colour,
            markersize=4,
            linewidth=1.4,
            markerfacecolor="white",
        )
        axis.plot(curve.alone_levels, _finite(curve.alone), ":", color=colour, linewidth=1.2)
    _mark_infinite(axis, panel, shades)


def _scales(axis: Any, panel: Panel, grid: PanelGrid) -> None:
    low, high = grid.reach(panel.strength)
    if panel.strength == "bits":
        axis.set_xscale("log", base=2)
        axis.set_xlim(low / 1.1, high * 1.1)
        axis.set_xticks([2, 4, 8, 16], ["2", "4", "8", "16"])
    else:
        axis.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    if grid.spread(panel.criterion):
        axis.set_yscale("log")


def _finite(values: np.ndarray) -> np.ndarray:
    """A gap where a value is infinite or missing: nothing is drawn through it."""
    return np.where(np.isfinite(values), values, np.nan)


def _mark_infinite(axis: Any, panel: Panel, shades: dict[str, str]) -> None:
    """A triangle near the upper edge for each infinite value, below each other; filled for the forward order."""
    for i, curve in enumerate(panel.curves):
        x, forward, backward = panel.ended(curve)
        for k, (values, face) in enumerate(((forward, shades[curve.title]), (backward, "white"))):
            at = x[np.isposinf(values)]
            if len(at):
                axis.plot(
                    at, np.full(len(at), 0.95 - 0.07 * (2 * i + k)), "^", transform=axis.get_xaxis_transform(),
                    color=shades[curve.title], markerfacecolor=face, markersize=5,
                )  # fmt: skip


def _legend(grid: PanelGrid, shades: dict[str, str]) -> list[Any]:
    category = grid.caption.partition(" ")[0].lower()
    first = {"editing": "edit", "unlearning": "unlearn"}.get(category, category)
    dash = (0, (4, 3))
    line: Any = {"color": "0.3", "markersize": 4}
    handles: list[Any] = [Patch(color=colour, label=title) for title, colour in shades.items()]
    handles += [
        Line2D([], [], marker="o", label=f"{first}, then compress", **line),
        Line2D(
            [],
            [],
            marker="o",
            linestyle="--",
            markerfacecolor="white",
            label=f"compress, then {first}",
            **line,
        ),
        Line2D([], [], linestyle=":", label="compression alone", **line),
    ]
    if any(grid.chance(row) is not None for row in grid.rows):
        handles.append(Line2D([], [], color="grey", linestyle=dash, label="chance"))
    curves = [curve for panel in grid.panels.values() for curve in panel.curves]
    if any(np.isposinf([*curve.forward, *curve.backward]).any() for curve in curves):
        handles.append(Line2D([], [], marker="^", linestyle="", label="infinite", **line))
    return handles


def draw_heat(heat: Heat, titles: Labels) -> Figure:
    """Order sensitivity of every pair, a panel per criterion; grey where there is no pair."""
    count = len(heat.criteria)
    columns = min(3, count)
    side = 0.42 * len(heat.methods) + 1.1
    with mpl.rc_context({"font.size": 8}):
        rows = -(-count // columns)
        figure = Figure(figsize=(side * columns + 0.8, side * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        scale = mpl.colormaps["Blues"].with_extremes(bad="0.82")
        for axis, criterion in zip(axes.flat, heat.criteria, strict=False):
            values = heat.values[criterion]
            image = axis.imshow(values, cmap=scale, vmin=0, vmax=heat.most)
            ticks = range(len(heat.methods))
            axis.set_xticks(ticks, heat.methods, rotation=90)
            axis.set_yticks(ticks, heat.methods)
            axis.set_title(f"{titles.criterion(criterion)}")
            for i, j in zip(*np.nonzero(np.isfinite(values)), strict=True):
                dark, text = (
                    values[i, j] > heat.most / 2,
                    labels.number(values[i, j]).removeprefix("0"),
                )
                axis.text(
                    j,
                    i,
                    text,
                    ha="center",
                    va="center",
                    fontsize=6,
                    color="white" if dark else "black",
                )
        for axis in axes.flat[count:]:
            axis.remove()
        figure.colorbar(image, ax=list(axes.flat[:count]), shrink=0.6, label="order sensitivity ↓")
        figure.suptitle(heat.caption, fontsize=9)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    return path
