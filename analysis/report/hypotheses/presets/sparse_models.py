"""Does unlearning take less from a sparse model?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.report.hypotheses.cells import Cell
from analysis.report.hypotheses.contrasts import CellValues
from analysis.report.hypotheses.parts import Part
from analysis.report.hypotheses.presets.names import TITLES
from analysis.report.hypotheses.presets.preset import Preset
from analysis.report.hypotheses.presets.unlearned import (
    BASE,
    FORGOTTEN,
    NAMES,
    OVER,
    REPLICATES,
    cells_of,
    constant_cells,
    difference,
)

PRUNINGS = ("wanda(sparsity=0.5)", "wanda(sparsity=0.65)")


def unlearning_sparse() -> Preset:
    """Return the preset on unlearning pruned models."""
    cells: list[Cell] = []
    parts = []
    for unlearner in OVER:
        sparse = [f"{pruning} | {unlearner}" for pruning in PRUNINGS]
        cells += cells_of(unlearner, [unlearner, *sparse], [BASE, *PRUNINGS])
        parts.append(_weaker(unlearner, sparse))
    return Preset(
        name="unlearning-sparse",
        heading=TITLES["unlearning-sparse"],
        sources=("arXiv 2602.00577",),
        claim="Unlearning methods lose much of their effect on sparse models, as the weights that"
        " were pruned cannot be used to forget with.",
        design=f"Each unlearner on the whole model, and on one pruned by {' or '.join(PRUNINGS)},"
        " on average over these two. What unlearning filled of the pruned is pruned again"
        " (`recompress=auto`), so that the model is as sparse at the end. More of the unlearned"
        " must be left on the sparse model, and unlearning must have taken less from it: that"
        " pruning alone lowers a score is not unlearning." + REPLICATES,
        titles={1: TITLES["unlearning-sparse"]},
        cells=tuple(dict.fromkeys(cells)),
        criteria=(FORGOTTEN,),
        parts=tuple(parts),
    )


def _weaker(unlearner: str, sparse: Sequence[str]) -> Part:
    over = OVER[unlearner]

    def measure(values: CellValues) -> list[np.ndarray]:
        remaining = [difference(values, over, after, unlearner) for after in sparse]
        removed = [
            difference(values, over, pruning, after)
            for pruning, after in zip(PRUNINGS, sparse, strict=True)
        ]
        of_whole = difference(values, over, BASE, unlearner)
        return [np.mean(remaining, axis=0), of_whole - np.mean(removed, axis=0)]

    return Part(
        1,
        f"{NAMES[unlearner]} takes less from a sparse model, and leaves more to it",
        "WMDP: of both differences the smaller",
        over,
        (BASE, *PRUNINGS, unlearner, *sparse),
        measure,
        constant=constant_cells(unlearner, BASE, *PRUNINGS),
    )
