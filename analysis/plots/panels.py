"""The data of a figure of curves: panels in rows and columns, each with a curve per compression."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.labels import SHARES
from analysis.plots.axes import LevelAxis, axis_of
from tracking.catalogue import Catalogue


@dataclass(frozen=True)
class Curve:
    """One pair in one panel.

    Attributes:
        name: of the compression.
        title: of the compression, as a legend shows it.
        levels: shape (levels,), in rising order.
        forward: the criterion with the intervention first; shape (levels,).
        backward: the criterion with the compression first; shape (levels,).
        alone_levels: the levels at which the compression was run alone; shape (levels alone,).
        alone: the criterion of the compression alone; shape (levels alone,).
        runs: for each level, the ids of the runs of both orders.
    """

    name: str
    title: str
    levels: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    alone_levels: np.ndarray
    alone: np.ndarray
    runs: list[tuple[str, ...]]


@dataclass(frozen=True)
class Panel:
    """One criterion over the levels, for one intervention and one group of compressions.

    Attributes:
        criterion: its name.
        strength: what the levels are of: "sparsity", "bits".
        group: of the compressions: "pruning", "quantization".
        uncompressed: the criterion of the intervention alone; NaN where it was not run.
        curves: one per compression.
    """

    criterion: str
    strength: str
    group: str
    uncompressed: float
    curves: list[Curve] = field(default_factory=list)

    @property
    def axis(self) -> LevelAxis:
        """How the levels are drawn."""
        return axis_of(self.group)

    def with_common_end(self, curve: Curve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return levels, forward and backward values that end in the intervention alone.

        The intervention alone stands at the level that compresses nothing. Where no level means
        that, or the intervention was not run alone, the curve is returned as it is.
        """
        end_level = self.axis.uncompressed
        if end_level is None or np.isnan(self.uncompressed):
            return curve.levels, curve.forward, curve.backward
        levels = np.append(curve.levels, end_level)
        order = np.argsort(levels)
        forward = np.append(curve.forward, self.uncompressed)[order]
        backward = np.append(curve.backward, self.uncompressed)[order]
        return levels[order], forward, backward


@dataclass(frozen=True)
class PanelGrid:
    """One figure: criteria as rows, interventions as columns.

    Attributes:
        name: of the figure's file, without suffix.
        caption: above the figure.
        category: of the interventions: "editing", "unlearning".
        rows: names of criteria.
        columns: titles of interventions.
        panels: (row, column) to the panel there.
        catalogue: facts of interventions and criteria.
        dropped: how many more columns there would be.
    """

    name: str
    caption: str
    category: str
    rows: list[str]
    columns: list[str]
    panels: dict[tuple[int, int], Panel]
    catalogue: Catalogue
    dropped: int

    @property
    def curves(self) -> list[Curve]:
        """Every curve of every panel."""
        return [curve for panel in self.panels.values() for curve in panel.curves]

    def chance(self, criterion: str) -> float | None:
        """Return what guessing gets, if the criterion has a chance level."""
        return self.catalogue.criteria[criterion].chance

    def is_logarithmic(self, criterion: str) -> bool:
        """Return whether a criterion's values may differ by orders of magnitude."""
        return self.catalogue.criteria[criterion].unit not in SHARES

    def level_range(self, panel: Panel) -> tuple[float, float]:
        """Return the lowest and highest level of all panels whose levels are of the same kind.

        The level that compresses nothing counts too, so that such panels have equal axes.
        """
        levels = [] if panel.axis.uncompressed is None else [panel.axis.uncompressed]
        for other_panel in self.panels.values():
            if (other_panel.strength, other_panel.group) == (panel.strength, panel.group):
                levels += [level for curve in other_panel.curves for level in curve.levels]
        return min(levels), max(levels)
