"""What Figures 2 and 3 show, before it is drawn: a criterion over the level, both orders, with baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import SHARES, Labels
from analysis.metrics.align import Orders
from analysis.tables.layouts import COMPRESSION
from tracking.catalogue import CriterionFacts

UNCOMPRESSED = {
    "sparsity": 0.0,
    "bits": 16.0,
}  # where the intervention alone stands on a compression's axis
_KINDS = ("sparsity", "bits")  # the paper's order, left to right
_MOST = 12  # columns; a sweep over hyperparameters can have hundreds
# Okabe and Ito 2008, "Color Universal Design": told apart with any colour vision
PALETTE = ("#E69F00", "#009E73", "#D55E00", "#CC79A7", "#0072B2", "#56B4E9", "#F0E442", "#000000")
_COLOURS = {"wanda": 0, "sparsegpt": 1, "awq": 2, "gptq": 3}


@dataclass(frozen=True)
class Curve:
    """One pair in one panel; arrays have one value per level, in rising order."""

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
    """A criterion, for one intervention and one kind of compression."""

    criterion: str
    strength: str
    uncompressed: float
    curves: list[Curve] = field(default_factory=list)

    def ended(self, curve: Curve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Levels, forward, backward, with the intervention alone as their common end where the axis has a place."""
        if self.strength not in UNCOMPRESSED or np.isnan(self.uncompressed):
            return curve.levels, curve.forward, curve.backward
        x = np.append(curve.levels, UNCOMPRESSED[self.strength])
        order = np.argsort(x)
        forward, backward = (
            np.append(v, self.uncompressed)[order] for v in (curve.forward, curve.backward)
        )
        return x[order], forward, backward


@dataclass(frozen=True)
class PanelGrid:
    """Panels by (row, column), with the titles of both; ``dropped`` columns found no place."""

    name: str
    caption: str
    rows: list[str]
    columns: list[str]
    panels: dict[tuple[int, int], Panel]
    facts: Mapping[str, CriterionFacts]
    dropped: int

    def chance(self, criterion: str) -> float | None:
        """What guessing gets."""
        return self.facts[criterion].chance

    def spread(self, criterion: str) -> bool:
        """Whether values may differ by orders of magnitude: those that are no share of anything."""
        return self.facts[criterion].unit not in SHARES

    def reach(self, strength: str) -> tuple[float, float]:
        """Least and greatest level of all panels on the same axis, the uncompressed end included."""
        curves = [
            curve
            for panel in self.panels.values()
            if panel.strength == strength
            for curve in panel.curves
        ]
        ends = [level for curve in curves for level in curve.levels]
        ends += [UNCOMPRESSED[strength]] if strength in UNCOMPRESSED else []
        return min(ends), max(ends)


def grids(orders: Orders, points: pd.DataFrame) -> list[PanelGrid]:
    """Figure 2 (editing), Figure 3 (unlearning), and perplexity for both; of each context that has such pairs."""
    wanted = [
        ("figure2", "editing", ("edit_success", "edit_generalization", "edit_locality", "mmlu")),
        ("figure3", "unlearning", ("wmdp", "mmlu")),
        ("perplexity-editing", "editing", ("wikitext_ppl",)),
        ("perplexity-unlearning", "unlearning", ("wikitext_ppl",)),
    ]
    made = []
    for context, suffix in labels.suffixes(points.context).items():
        of = points[
            (points.context == context)
            & points.partner_group.isin(COMPRESSION)
            & (points.strength != "")
        ]
        for name, category, criteria in wanted:
            rows = [criterion for criterion in criteria if criterion in set(of.criterion)]
            chosen = of[(of.intervention_group == category) & of.criterion.isin(rows)]
            if len(chosen):
                caption = f"{category.capitalize()} and compression; {context}"
                made.append(_grid(orders, chosen, name + suffix, caption, rows))
    return made


def colours(grid: PanelGrid) -> dict[str, str]:
    """Title of a compression to its colour: the paper's four have their own, others the next free ones."""
    named = {curve.title: curve.name for panel in grid.panels.values() for curve in panel.curves}
    taken: dict[str, int] = {}
    for title, name in named.items():
        if name in _COLOURS and _COLOURS[name] not in taken.values():
            taken[title] = _COLOURS[name]
    free = [i for i in range(len(PALETTE)) if i not in taken.values()] or [len(PALETTE) - 1]
    others = [title for title in named if title not in taken]
    taken |= {title: free[i % len(free)] for i, title in enumerate(others)}
    return {title: PALETTE[place] for title, place in taken.items()}


def _grid(
    orders: Orders, points: pd.DataFrame, name: str, caption: str, rows: list[str]
) -> PanelGrid:
    titles = Labels(orders.catalogue)
    kinds = points.strength.map(labels.strength_of)
    points = points.assign(kind=kinds)
    columns = sorted(
        {
            tuple(row)
            for row in points[["kind", "intervention", "intervention_variant"]].itertuples(
                index=False
            )
        },
        key=lambda c: (
            _KINDS.index(c[0]) if c[0] in _KINDS else len(_KINDS),
            c[0],
            labels.place(c[1]),
            c[2],
        ),
    )
    panels = {}
    for j, (kind, method, variant) in enumerate(columns[:_MOST]):
        of = points[
            (points.kind == kind)
            & (points.intervention == method)
            & (points.intervention_variant == variant)
        ]
        for i, criterion in enumerate(rows):
            panels[i, j] = _panel(orders, of[of.criterion == criterion], criterion, kind, titles)
    heads = [titles.method(method, variant) for _, method, variant in columns[:_MOST]]
    return PanelGrid(
        name, caption, rows, heads, panels, orders.catalogue.criteria, max(0, len(columns) - _MOST)
    )


def _panel(
    orders: Orders, points: pd.DataFrame, criterion: str, kind: str, titles: Labels
) -> Panel:
    first = points.iloc[0] if len(points) else None
    alone = (
        orders.alone[orders.alone.context == first.context]
        if first is not None
        else orders.alone.iloc[:0]
    )
    uncompressed = np.nan
    if first is not None and criterion in alone:
        mine = (alone.intervention == first.intervention) & (
            alone.intervention_variant == first.intervention_variant
        )
        uncompressed = float(alone.loc[mine, criterion].mean())
    panel = Panel(criterion, kind, uncompressed)
    for (name, variant), group in points.groupby(["partner", "partner_variant"], sort=False):
        swept = group.sort_values("level")
        base = alone[(alone.intervention == name) & (alone.intervention_variant == variant)]
        means = (
            base.groupby("level")[criterion].mean() if criterion in base else pd.Series(dtype=float)
        )
        panel.curves.append(
            Curve(
                str(name),
                titles.method(str(name), str(variant)),
                swept.level.to_numpy(float),
                swept.forward.to_numpy(float),
                swept.backward.to_numpy(float),
                means.index.to_numpy(float),
                means.to_numpy(float),
                list(swept.forward_runs + swept.backward_runs),
            )
        )
    panel.curves.sort(key=lambda curve: (labels.place(curve.name), curve.title))
    return panel
