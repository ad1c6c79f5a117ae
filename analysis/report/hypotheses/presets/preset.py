"""What a preset is: a hypothesis, the compositions that it needs, and its tests."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from analysis.report.hypotheses.cells import Cell
from analysis.report.hypotheses.parts import Part


@dataclass(frozen=True)
class Preset:
    """Findings that are tested together, with all that is run for them.

    Attributes:
        name: by which it is asked for.
        heading: of its page.
        sources: of the claims, such as "arXiv 2405.20935".
        claim: what the sources say, in sentences.
        design: which compositions are compared, and by what, in sentences.
        titles: number of each finding to what it says.
        cells: compositions that are run.
        parts: of all findings; their tests are corrected together.
        criteria: that its runs are judged by; empty: all.
        policies: of recompression, in the order in which they are run.
        newer: names of interventions that need not be registered; what needs one that is not
            registered is not run.
    """

    name: str
    heading: str
    sources: tuple[str, ...]
    claim: str
    design: str
    titles: Mapping[int, str]
    cells: tuple[Cell, ...]
    parts: tuple[Part, ...]
    criteria: tuple[str, ...] = ()
    policies: tuple[str, ...] = ("auto",)
    newer: tuple[str, ...] = ()

    def with_registered(self, registered: Collection[str]) -> Preset:
        """Return the preset without the compositions that cannot be run here.

        Args:
            registered: names of all interventions.
        """
        lacking = [name for name in self.newer if name not in registered]
        parts = []
        for part in self.parts:
            needed = [name for name in lacking if any(_mentions(cell, name) for cell in part.cells)]
            reason = f"not testable here: no intervention is named {', '.join(needed)}"
            parts.append(replace(part, lacking=reason) if needed else part)
        needed_cells = {cell for part in parts if not part.lacking for cell in part.cells}
        cells = tuple(cell for cell in self.cells if cell.text in needed_cells)
        return replace(self, cells=cells, parts=tuple(parts))


def _mentions(composition: str, name: str) -> bool:
    """Return whether a composition has a step of some name, in a branch too."""
    return bool(re.search(rf"\b{re.escape(name)}\b(?!=)", composition))
