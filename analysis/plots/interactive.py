"""Curves with plotly: values on hover, methods switched on and off in the legend."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis import labels
from analysis.labels import Labels
from analysis.plots.colours import assign_colours
from analysis.plots.literal import plotly_text
from analysis.plots.panels import Curve, Panel, PanelGrid

FONT = {"size": 12, "color": "#222"}
_HEIGHT, _WIDTH = 190, 178  # pixels of a panel
_TRIANGLE_STEP = 0.06  # of the logarithm of a row's range


def draw_curves(grid: PanelGrid, titles: Labels) -> Any:
    """Draw a panel per criterion and method: both orders, the area between them, the baselines."""
    rows, columns = len(grid.rows), len(grid.columns)
    figure = make_subplots(
        rows,
        columns,
        shared_yaxes=True,
        column_titles=[plotly_text(title) for title in grid.columns],
        horizontal_spacing=0.02,
        vertical_spacing=min(0.12, 0.28 / rows),
    )
    colours = assign_colours(grid)
    in_legend = set[str]()
    for (row, column), panel in grid.panels.items():
        low, high = _value_range(grid, row)
        for index, curve in enumerate(panel.curves):
            colour = colours[curve.title]
            heights = [
                high * (high / low) ** (_TRIANGLE_STEP * (2 * index + step)) for step in (1, 2)
            ]
            traces = [
                *_order_traces(curve, panel, grid.columns[column], colour),
                *_alone_traces(curve, panel, colour),
                *_infinite_traces(curve, panel, heights, colour),
            ]
            # Every trace of a method is one entry of the legend.
            traces[0].showlegend = curve.title not in in_legend
            in_legend.add(curve.title)
            figure.add_traces(traces, row + 1, column + 1)
        _set_axes(figure, grid, panel, row, column, titles)
    height = _HEIGHT * rows + 150
    figure.update_layout(
        height=height,
        width=max(420, _WIDTH * columns + 110),
        font=FONT,
        template="plotly_white",
        margin={"l": 75, "r": 15, "t": 40, "b": 100},
        legend={"orientation": "h", "y": -70 / (height - 140), "yanchor": "top", "x": 0},
    )
    return figure


def finite_or_none(values: np.ndarray) -> list[float | None]:
    """Return the values with None where one is infinite or NaN, which JSON cannot hold.

    Example:
        >>> import numpy as np
        >>> finite_or_none(np.array([0.5, np.inf]))
        [0.5, None]
    """
    return [float(value) if np.isfinite(value) else None for value in values]


def _order_traces(curve: Curve, panel: Panel, method: str, colour: str) -> list[Any]:
    """Return forward, solid, and backward, dashed, with the area between them."""
    levels, forward, backward = panel.with_common_end(curve)
    forward_name = f"{method}{labels.ARROW}{curve.title}"
    backward_name = f"{curve.title}{labels.ARROW}{method}"
    solid = _line(levels, forward, curve, forward_name, panel, {"color": colour, "dash": "solid"})
    solid.update(mode="lines+markers", marker=_marker(colour, colour))
    dashed = _line(levels, backward, curve, backward_name, panel, {"color": colour, "dash": "dash"})
    dashed.update(mode="lines+markers", marker=_marker(colour, "white"))
    # plotly would draw the area across a gap.
    if np.isfinite(forward).all() and np.isfinite(backward).all():
        dashed.update(fill="tonexty", fillcolor=f"rgba({_rgb(colour)}, 0.25)")
    return [solid, dashed]


def _marker(colour: str, fill: str) -> dict[str, Any]:
    return {"color": fill, "line": {"color": colour, "width": 1.5}, "size": 6}


def _alone_traces(curve: Curve, panel: Panel, colour: str) -> list[Any]:
    if not len(curve.alone):
        return []
    line = {"color": colour, "dash": "dot", "width": 1.2}
    return [_line(curve.alone_levels, curve.alone, curve, f"{curve.title} alone", panel, line)]


def _line(
    levels: np.ndarray,
    values: np.ndarray,
    curve: Curve,
    name: str,
    panel: Panel,
    line: dict[str, Any],
) -> Any:
    return go.Scatter(
        x=levels,
        y=finite_or_none(values),
        name=plotly_text(curve.title),
        legendgroup=curve.title,
        showlegend=False,
        mode="lines",
        line=line,
        customdata=[labels.number(value, 3) for value in values],
        hovertemplate=f"{plotly_text(name)}<br>{plotly_text(panel.strength)}"
        " %{x}: %{customdata}<extra></extra>",
    )


def _infinite_traces(curve: Curve, panel: Panel, heights: list[float], colour: str) -> list[Any]:
    """Return a triangle for each infinite value; each order has a height of its own."""
    levels, forward, backward = panel.with_common_end(curve)
    traces = []
    for values, height, symbol in (
        (forward, heights[0], "triangle-up"),
        (backward, heights[1], "triangle-up-open"),
    ):
        is_infinite = np.isposinf(values)
        if is_infinite.any():
            trace = go.Scatter(
                x=levels[is_infinite],
                y=[height] * int(is_infinite.sum()),
                mode="markers",
                showlegend=False,
                legendgroup=curve.title,
                hovertemplate="infinite<extra></extra>",
                marker={"symbol": symbol, "color": colour, "size": 8},
            )
            traces.append(trace)
    return traces


def _value_range(grid: PanelGrid, row: int) -> tuple[float, float]:
    """Return the least and the greatest finite value of a row, positive and apart."""
    panels = [panel for position, panel in grid.panels.items() if position[0] == row]
    curves = [curve for panel in panels for curve in panel.curves]
    values = [v for curve in curves for v in (*curve.forward, *curve.backward, *curve.alone)]
    drawn = [value for value in values if np.isfinite(value) and value > 0]
    low, high = min(drawn, default=1.0), max(drawn, default=10.0)
    return low, max(high, 1.1 * low)


def _set_axes(
    figure: Any, grid: PanelGrid, panel: Panel, row: int, column: int, titles: Labels
) -> None:
    position = {"row": row + 1, "col": column + 1}
    chance = grid.chance(panel.criterion)
    if chance is not None:
        figure.add_hline(chance, line={"color": "grey", "dash": "dash", "width": 1}, **position)
    limits = panel.axis.limits(*grid.level_range(panel))
    figure.update_xaxes(range=limits, **position)
    if row == len(grid.rows) - 1:
        figure.update_xaxes(title_text=plotly_text(panel.strength.capitalize()), **position)
    if grid.is_logarithmic(panel.criterion):
        figure.update_yaxes(type="log", exponentformat="power", nticks=6, **position)
    if column == 0:
        title = titles.criterion(panel.criterion, unit=True)
        figure.update_yaxes(title_text=plotly_text(title), **position)


def _rgb(colour: str) -> str:
    """Return ``"#E69F00"`` as ``"230, 159, 0"``."""
    return ", ".join(str(int(colour[start : start + 2], 16)) for start in (1, 3, 5))
