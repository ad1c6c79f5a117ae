"""Pareto fronts with plotly: the level of every setting on hover."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis import labels
from analysis.labels import Labels
from analysis.plots.fronts import Front, FrontGrid
from analysis.plots.interactive import FONT
from analysis.plots.literal import plotly_text

_MOST_COLUMNS = 4
_HEIGHT, _WIDTH = 230, 280  # pixels of a panel
_COLOURS = ("#0072B2", "#D55E00")  # of the two orders; Okabe and Ito, told apart by all


def draw_front_panels(grid: FrontGrid, titles: Labels) -> Any:
    """Draw a panel per pair: a mark per order and level, and a line through the best of them."""
    columns = min(_MOST_COLUMNS, len(grid.fronts))
    rows = -(-len(grid.fronts) // columns)
    figure = make_subplots(
        rows,
        columns,
        shared_yaxes=True,
        subplot_titles=[plotly_text(front.title) for front in grid.fronts],
        horizontal_spacing=0.03,
        vertical_spacing=0.32 / rows,
    )
    for index, front in enumerate(grid.fronts):
        row, column = index // columns + 1, index % columns + 1
        figure.add_traces(_traces(front), row, column)
        figure.update_xaxes(
            title_text=plotly_text(titles.criterion(grid.size)), row=row, col=column
        )
        if column == 1:
            title = plotly_text(titles.criterion(grid.quality, unit=True))
            figure.update_yaxes(title_text=title, row=row, col=column)
    figure.update_layout(
        height=_HEIGHT * rows + 80,
        width=max(420, _WIDTH * columns + 90),
        font=FONT,
        template="plotly_white",
        margin={"l": 70, "r": 15, "t": 40, "b": 60},
        showlegend=False,
    )
    return figure


def _traces(front: Front) -> list[Any]:
    """Return the line of the front below the marks of both orders."""
    by_size = np.argsort(front.sizes[front.is_best], kind="stable")
    line = go.Scatter(
        x=front.sizes[front.is_best][by_size],
        y=front.qualities[front.is_best][by_size],
        mode="lines",
        line={"color": "#444444", "width": 1},
        hoverinfo="skip",
    )
    marks = []
    for colour, name in zip(_COLOURS, dict.fromkeys(front.orders), strict=False):
        places = [place for place, order in enumerate(front.orders) if order == name]
        texts = [
            f"{plotly_text(name)}<br>{plotly_text(front.levels[place])}:"
            f" {labels.number(front.qualities[place], 3)}"
            for place in places
        ]
        marks.append(
            go.Scatter(
                x=front.sizes[places],
                y=front.qualities[places],
                mode="markers",
                marker={"color": colour, "size": 7},
                hovertemplate=[f"{text}<extra></extra>" for text in texts],
            )
        )
    return [line, *marks]
