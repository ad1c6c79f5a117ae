"""The same figures with plotly: values on hover, methods switched on and off in the legend."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis import labels
from analysis.labels import Labels
from analysis.plots.curves import Curve, Panel, PanelGrid, colours
from analysis.plots.heat import Heat

_HEIGHT, _WIDTH = 190, 178  # pixels of a panel
_BAR = {
    "lenmode": "pixels", "len": 260, "yanchor": "top", "y": 1, "thickness": 14,
    "title": {"text": "order sensitivity ↓", "side": "right"},
}  # fmt: skip
_FONT = {"size": 12, "color": "#222"}


def figure(grid: PanelGrid, titles: Labels) -> Any:
    """A panel per criterion and method; both orders, the area between them shaded, the baselines."""
    rows, columns = len(grid.rows), len(grid.columns)
    made = make_subplots(
        rows, columns, shared_yaxes=True, column_titles=grid.columns, horizontal_spacing=0.02,
        vertical_spacing=min(0.12, 0.28 / rows),
    )  # fmt: skip
    shades, named = colours(grid), set[str]()
    for (i, j), panel in grid.panels.items():
        low, high = _ends(grid, i)
        for k, curve in enumerate(panel.curves):
            drawn = [
                *_orders(curve, panel, grid.columns[j], shades[curve.title]),
                *_alone(curve, panel, shades),
            ]
            drawn += _infinite(
                curve, panel, [high * (high / low) ** (0.06 * (2 * k + m)) for m in (1, 2)], shades
            )
            drawn[0].showlegend = curve.title not in named
            named.add(curve.title)
            made.add_traces(drawn, i + 1, j + 1)
        _axes(made, grid, panel, (i, j), titles)
    height = _HEIGHT * rows + 150
    made.update_layout(
        height=height, width=max(420, _WIDTH * columns + 110), font=_FONT, template="plotly_white",
        margin={"l": 75, "r": 15, "t": 40, "b": 100},
        legend={"orientation": "h", "y": -70 / (height - 140), "yanchor": "top", "x": 0},
    )  # fmt: skip
    return made


def _orders(curve: Curve, panel: Panel, method: str, colour: str) -> list[Any]:
    """Forward, solid; backward, dashed, with the area between them."""
    x, *orders = panel.ended(curve)
    whole = bool(np.isfinite(orders).all())  # plotly would draw an area across a gap
    names = (f"{method}{labels.ARROW}{curve.title}", f"{curve.title}{labels.ARROW}{method}")
    traces = []
    for name, values, dash, fill in zip(
        names, orders, ("solid", "dash"), (colour, "white"), strict=True
    ):
        trace = _line(x, values, curve, name, panel, {"color": colour, "dash": dash})
        trace.update(
            mode="lines+markers",
            marker={"color": fill, "line": {"color": colour, "width": 1.5}, "size": 6},
        )
        if dash == "dash" and whole:
            trace.update(fill="tonexty", fillcolor=f"rgba({_rgb(colour)}, 0.25)")
        traces.append(trace)
    return traces


def _alone(curve: Curve, panel: Panel, shades: dict[str, str]) -> list[Any]:
    if not len(curve.alone):
        return []
    line = {"color": shades[curve.title], "dash": "dot", "width": 1.2}
    return [_line(curve.alone_levels, curve.alone, curve, f"{curve.title} alone", panel, line)]


def _line(
    x: np.ndarray, values: np.ndarray, curve: Curve, name: str, panel: Panel, line: dict[str, Any]
) -> Any:
    return go.Scatter(
        x=x, y=_plain(values), name=curve.title, legendgroup=curve.title, showlegend=False, mode="lines", line=line,
        customdata=[labels.number(value, 3) for value in values],
        hovertemplate=f"{name}<br>{panel.strength} %{{x}}: %{{customdata}}<extra></extra>",
    )  # fmt: skip


def _infinite(curve: Curve, panel: Panel, places: list[float], shades: dict[str, str]) -> list[Any]:
    """A triangle above all values for each infinite one; each order has a height of its own."""
    x, *orders = panel.ended(curve)
    return [
        go.Scatter(
            x=x[np.isposinf(values)], y=[place] * int(np.isposinf(values).sum()), mode="markers", showlegend=False,
            legendgroup=curve.title, hovertemplate="infinite<extra></extra>",
            marker={"symbol": symbol, "color": shades[curve.title], "size": 8},
        )
        for values, place, symbol in zip(orders, places, ("triangle-up", "triangle-up-open"), strict=True)
        if np.isposinf(values).any()
    ]  # fmt: skip


def _ends(grid: PanelGrid, row: int) -> tuple[float, float]:
    """Least and greatest finite value of a row, greater than 0 and apart."""
    values = [
        value
        for (i, _), panel in grid.panels.items()
        if i == row
        for curve in panel.curves
        for value in (*curve.forward, *curve.backward, *curve.alone)
        if np.isfinite(value) and value > 0
    ]
    low, high = min(values, default=1.0), max(values, default=10.0)
    return low, max(high, 1.1 * low)


def _axes(made: Any, grid: PanelGrid, panel: Panel, at: tuple[int, int], titles: Labels) -> None:
    place = {"row": at[0] + 1, "col": at[1] + 1}
    chance = grid.chance(panel.criterion)
    if chance is not None:
        made.add_hline(chance, line={"color": "grey", "dash": "dash", "width": 1}, **place)
    low, high = grid.reach(panel.strength)
    if panel.strength == "bits":
        ends = [float(np.log10(low / 1.1)), float(np.log10(high * 1.1))]
        made.update_xaxes(
            type="log", range=ends, tickvals=[2, 4, 8, 16], ticktext=["2", "4", "8", "16"], **place
        )
    else:
        edge = 0.04 * (high - low)
        made.update_xaxes(range=[low - edge, high + edge], **place)
    if at[0] == len(grid.rows) - 1:
        made.update_xaxes(title_text=panel.strength.capitalize(), **place)
    if grid.spread(panel.criterion):
        made.update_yaxes(type="log", exponentformat="power", nticks=6, **place)
    if at[1] == 0:
        made.update_yaxes(title_text=titles.criterion(panel.criterion, unit=True), **place)


def heat_map(heat: Heat, titles: Labels) -> Any:
    """Order sensitivity of every pair, a panel per criterion; grey where there is no pair."""
    count = len(heat.criteria)
    columns = min(2, count)
    rows = -(-count // columns)
    made = make_subplots(
        rows, columns, subplot_titles=[titles.criterion(name) for name in heat.criteria], horizontal_spacing=0.14,
        vertical_spacing=0.3 / rows,
    )  # fmt: skip
    for k, criterion in enumerate(heat.criteria):
        values = heat.values[criterion]
        text = [
            [labels.number(value) if np.isfinite(value) else "" for value in row] for row in values
        ]
        trace = go.Heatmap(
            z=[_plain(row) for row in values], x=heat.methods, y=heat.methods, text=text,
            texttemplate="%{text}", zmin=0, zmax=heat.most, coloraxis="coloraxis", hoverongaps=False,
            hovertemplate="%{x} and %{y}: %{text}<extra></extra>",
        )  # fmt: skip
        made.add_trace(trace, k // columns + 1, k % columns + 1)
    side = 40 * len(heat.methods) + 110
    made.update_yaxes(autorange="reversed")
    made.update_layout(
        height=side * rows + 60, width=(side + 40) * columns + 80, font=_FONT, template="plotly_white",
        plot_bgcolor="#d0d0d0", coloraxis={"colorscale": "Blues", "cmin": 0, "cmax": heat.most, "colorbar": _BAR},
        margin={"l": 90, "r": 10, "t": 40, "b": 80},
    )  # fmt: skip
    made.update_xaxes(showgrid=False)
    made.update_yaxes(showgrid=False)
    return made


def _plain(values: np.ndarray) -> list[float | None]:
    """Without what JSON cannot say: a gap where a value is infinite or missing."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _rgb(colour: str) -> str:
    return ", ".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
