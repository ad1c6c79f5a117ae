"""The figures of some runs as data, for tests of what is in them and of how they are drawn."""

from typing import Any

import pandas as pd

from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.metrics.align import both_orders
from analysis.plots import curves
from analysis.plots.panels import PanelGrid


def panel_grids(runs: pd.DataFrame) -> dict[str, PanelGrid]:
    """Return the figures by name."""
    return {grid.name: grid for grid in curves.grids(both_orders(runs), co.point(runs))}


def titles_of(runs: pd.DataFrame) -> Labels:
    """Return the titles of what the runs have."""
    return Labels(both_orders(runs).catalogue)


def drawn_text(figure: Any) -> list[str]:
    """Return the titles and axis labels of a matplotlib figure."""
    texts = []
    for axis in figure.axes:
        texts += [axis.title.get_text(), axis.xaxis.label.get_text(), axis.yaxis.label.get_text()]
    return texts
