"""Order sensitivity of all pairs with plotly."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis import labels
from analysis.labels import Labels
from analysis.plots.heat import Heat
from analysis.plots.interactive import FONT, finite_or_none
from analysis.plots.literal import plotly_text

_MOST_COLUMNS = 2
_CELL, _MARGIN = 40, 110  # pixels
_COLOUR_BAR = {
    "lenmode": "pixels",
    "len": 260,
    "yanchor": "top",
    "y": 1,
    "thickness": 14,
    "title": {"text": "order sensitivity ↓", "side": "right"},
}


def draw_heat_map(heat: Heat, titles: Labels) -> Any:
    """Draw a matrix per criterion; cells without a pair are grey."""
    count = len(heat.criteria)
    columns = min(_MOST_COLUMNS, count)
    rows = -(-count // columns)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[plotly_text(titles.criterion(name)) for name in heat.criteria],
        horizontal_spacing=0.14,
        vertical_spacing=0.3 / rows,
    )
    for index, criterion in enumerate(heat.criteria):
        figure.add_trace(_matrix(heat, criterion), index // columns + 1, index % columns + 1)
    side = _CELL * len(heat.methods) + _MARGIN
    scale = {"colorscale": "Blues", "cmin": 0, "cmax": heat.most, "colorbar": _COLOUR_BAR}
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(
        height=side * rows + 60,
        width=(side + 40) * columns + 80,
        font=FONT,
        template="plotly_white",
        plot_bgcolor="#d0d0d0",
        coloraxis=scale,
        margin={"l": 90, "r": 10, "t": 40, "b": 80},
    )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False)
    return figure


def _matrix(heat: Heat, criterion: str) -> Any:
    values = heat.values[criterion]
    text = [[labels.number(value) if np.isfinite(value) else "" for value in row] for row in values]
    methods = [plotly_text(method) for method in heat.methods]
    return go.Heatmap(
        z=[finite_or_none(row) for row in values],
        x=methods,
        y=methods,
        text=text,
        texttemplate="%{text}",
        zmin=0,
        zmax=heat.most,
        coloraxis="coloraxis",
        hoverongaps=False,
        hovertemplate="%{x} and %{y}: %{text}<extra></extra>",
    )
