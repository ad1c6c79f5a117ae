"""The ranking of a grid's pairs as a picture: order-free error, and how much the order matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from analysis.plots.literal import matplotlib_text

if TYPE_CHECKING:
    from analysis.ranking import RankedPair

_COLOURS = ("#0072B2", "#D55E00")  # Okabe and Ito, told apart by all
_ROW = 0.34  # inches
_MOST_PAIRS = 30


def draw_ranking(ranked: Sequence[RankedPair]) -> Figure:
    """Draw two bars for each of the first pairs, the best at the top.

    Args:
        ranked: the best first, one at least.
    """
    pairs = ranked[:_MOST_PAIRS]
    names = [" ".join(filter(None, [pair.pair, pair.level])) for pair in pairs]
    with mpl.rc_context({"font.size": 8, "axes.grid": True, "grid.alpha": 0.25}):
        figure = Figure(figsize=(7, _ROW * len(pairs) + 1.2), layout="constrained")
        axis = figure.subplots()
        places = range(len(pairs))
        series = (
            ("order-free error (smaller is better)", [pair.error for pair in pairs]),
            ("order sensitivity", [pair.sensitivity for pair in pairs]),
        )
        for offset, colour, (label, values) in zip((-0.2, 0.2), _COLOURS, series, strict=True):
            axis.barh([place + offset for place in places], values, 0.38, color=colour, label=label)
        axis.set_yticks(list(places), [matplotlib_text(name) for name in names])
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
        axis.legend(fontsize=7)
    return figure
