"""Which colour each compression has in a figure."""

from __future__ import annotations

from analysis import labels
from analysis.plots.panels import PanelGrid
from tracking.catalogue import Catalogue

# Okabe and Ito 2008, "Color Universal Design": they differ with any colour vision.
PALETTE = ("#E69F00", "#009E73", "#D55E00", "#CC79A7", "#0072B2", "#56B4E9", "#F0E442", "#000000")


def assign_colours(grid: PanelGrid) -> dict[str, str]:
    """Return the colour of each compression, by its title.

    The paper's compressions have the same colours in every figure; the free colours go to the
    rest, and are used again when there are more compressions than colours.
    """
    names = {curve.title: curve.name for curve in grid.curves}
    fixed_positions = _paper_positions(grid.catalogue)
    positions: dict[str, int] = {}
    for title, name in names.items():
        # Of several variants of one compression, the first has its colour.
        if name in fixed_positions and fixed_positions[name] not in positions.values():
            positions[title] = fixed_positions[name]
    used_positions = set(positions.values())
    free = [position for position in range(len(PALETTE)) if position not in used_positions]
    remaining_titles = [title for title in names if title not in positions]
    for index, title in enumerate(remaining_titles):
        positions[title] = free[index % len(free)]
    return {title: PALETTE[position] for title, position in positions.items()}


def _paper_positions(catalogue: Catalogue) -> dict[str, int]:
    """Return the palette's position of each compression that the paper's figures have."""
    facts = catalogue.interventions
    names = [
        name
        for name in labels.MAIN_ORDER
        if name in facts and facts[name].category == "compression"
    ]
    return {name: position for position, name in enumerate(names)}
