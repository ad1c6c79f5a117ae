"""What brings back what was unlearned: quantization to few bits, and a few steps of training."""

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
    UNIT,
    bound,
    cells_of,
    constant_cells,
    difference,
    mean_shares,
    shares,
)

QUANTIZERS = ("rtn", "gptq")
MOST_AT_8_BITS = 0.1  # of what was taken: what counts as "not back"
BENIGN = "finetune(steps=20)"
# 40 texts are about 39 of the testbed's 400 facts to forget, of which 300 are asked about: 29
# questions, which are less than that share of what is taken where the base model answers most and
# unlearning leaves chance
SOME_FORGOTTEN = "finetune(part='forget', samples=40, steps=20)"
LEAST_RELEARNED = 0.15


def quantization_restores() -> Preset:
    """Return the preset on quantizing an unlearned model."""
    cells: list[Cell] = []
    parts: list[Part] = []
    for unlearner in OVER:
        at_4, at_8 = (
            [f"{unlearner} | {quantizer}(bits={bits})" for quantizer in QUANTIZERS]
            for bits in (4, 8)
        )
        cells += cells_of(unlearner, [unlearner, *at_4, *at_8], [BASE])
        parts += [_restores(unlearner, at_4, at_8), _does_not(unlearner, at_8)]
    return Preset(
        name="quantization-restores",
        heading=TITLES["quantization-restores"],
        sources=("arXiv 2410.16454", "arXiv 2605.02196"),
        claim="Of the forgotten, a model unlearned without harm to its utility keeps 21 % in full"
        " precision and 83 % at 4 bits; at 8 bits nothing is seen to come back.",
        design=f"Each unlearner alone, and then quantized by {' and '.join(QUANTIZERS)} to 4 and to"
        " 8 bits, on average over these two. That 8 bits bring nothing back is tested as a bound:"
        f" less than {MOST_AT_8_BITS:g} of what unlearning took; a difference that is not"
        " significant would show nothing." + REPLICATES,
        titles={
            1: "4 bits bring back what was unlearned",
            2: "8 bits do not",
        },
        cells=tuple(dict.fromkeys(cells)),
        criteria=(FORGOTTEN,),
        parts=tuple(sorted(parts, key=lambda part: part.finding)),
    )


def _restores(unlearner: str, at_4: Sequence[str], at_8: Sequence[str]) -> Part:
    over = OVER[unlearner]

    def measure(values: CellValues) -> list[np.ndarray]:
        back = mean_shares(values, over, unlearner, at_4)
        return [back, back - mean_shares(values, over, unlearner, at_8)]

    return Part(
        1,
        f"after {NAMES[unlearner]}, 4 bits bring something back, and more than 8 bits do",
        f"{UNIT}: of both differences the smaller",
        over,
        (BASE, unlearner, *at_4, *at_8),
        measure,
        constant=constant_cells(unlearner, BASE),
    )


def _does_not(unlearner: str, at_8: Sequence[str]) -> Part:
    over = OVER[unlearner]
    return Part(
        2,
        f"after {NAMES[unlearner]}, 8 bits bring back less than {MOST_AT_8_BITS:g} of what was"
        " taken",
        f"{UNIT}: {MOST_AT_8_BITS:g} less what comes back",
        over,
        (BASE, unlearner, *at_8),
        lambda values: [bound(values, over, unlearner, at_8, MOST_AT_8_BITS)],
        constant=constant_cells(unlearner, BASE),
    )


def relearning() -> Preset:
    """Return the preset on training an unlearned model for a few steps."""
    cells: list[Cell] = []
    parts: list[Part] = []
    for unlearner in OVER:
        benign, attacked = f"{unlearner} | {BENIGN}", f"{unlearner} | {SOME_FORGOTTEN}"
        cells += cells_of(unlearner, [unlearner, benign, attacked], [BASE, BENIGN])
        parts += [_jogs(unlearner, benign), _relearns(unlearner, attacked)]
    return Preset(
        name="relearning",
        heading=TITLES["relearning"],
        sources=("arXiv 2406.13356", "arXiv 2410.08827"),
        claim="Training an unlearned model on a little benign text jogs its memory of what was"
        " unlearned; training on some of the facts brings back 88 % of the accuracy on others.",
        design=f"Each unlearner, and then `{BENIGN}` on texts to retain, or `{SOME_FORGOTTEN}`. The"
        " benign texts must bring back something, and more than they add to a model that nothing"
        " was taken from. The forgotten ones are 40 texts, about what 29 of the 300"
        f" questions ask: they must bring back more than {LEAST_RELEARNED:g} of what was taken,"
        " more than these questions are where unlearning leaves chance." + REPLICATES,
        titles={
            1: "A few steps on benign texts bring back what was unlearned",
            2: "A few steps on some of the forgotten texts bring back the others",
        },
        cells=tuple(dict.fromkeys(cells)),
        criteria=(FORGOTTEN,),
        parts=tuple(sorted(parts, key=lambda part: part.finding)),
    )


def _jogs(unlearner: str, after: str) -> Part:
    over = OVER[unlearner]

    def measure(values: CellValues) -> list[np.ndarray]:
        back = shares(values, over, unlearner, after)
        removed = float(difference(values, over, BASE, unlearner).mean())
        return [back, back - difference(values, over, BENIGN, BASE) / removed]

    return Part(
        1,
        f"after {NAMES[unlearner]}, benign texts bring something back, and more than they add to"
        " the base model",
        f"{UNIT}: of both differences the smaller",
        over,
        (BASE, BENIGN, unlearner, after),
        measure,
        constant=constant_cells(unlearner, BASE, BENIGN),
    )


def _relearns(unlearner: str, after: str) -> Part:
    over = OVER[unlearner]
    return Part(
        2,
        f"after {NAMES[unlearner]}, some of the texts bring back more than {LEAST_RELEARNED:g} of"
        " what was taken",
        f"{UNIT}: what comes back less {LEAST_RELEARNED:g}",
        over,
        (BASE, unlearner, after),
        lambda values: [-bound(values, over, unlearner, [after], LEAST_RELEARNED)],
        constant=constant_cells(unlearner, BASE),
    )
