"""Do edits survive fine-tuning?"""

from __future__ import annotations

import numpy as np

from analysis.report.hypotheses.cells import BATCHES, Cell
from analysis.report.hypotheses.contrasts import CellValues, weighted
from analysis.report.hypotheses.parts import Part
from analysis.report.hypotheses.presets.names import TITLES
from analysis.report.hypotheses.presets.preset import Preset

EDITORS = {"ft": "FT", "memit": "MEMIT", "lora": "LoRA", "alphaedit": "AlphaEdit"}
MOST_ERASED = "alphaedit"
TRAINING = "finetune"
_SCORE = "edit_success"


def finetuning_erases() -> Preset:
    """Return the preset on fine-tuning an edited model."""
    cells = [
        Cell(text, BATCHES) for editor in EDITORS for text in (editor, f"{editor} | {TRAINING}")
    ]
    return Preset(
        name="finetuning-erases",
        heading=TITLES["finetuning-erases"],
        sources=("arXiv 2511.05852",),
        claim="Edits decay where the edited model is fine-tuned; those of AlphaEdit most: on zsRE"
        " and GPT-J a quarter of the edits that had succeeded, more than of MEMIT's.",
        design=f"{', '.join(EDITORS.values())}, each alone and then `{TRAINING}` on texts to retain"
        " with its default steps and rate. What is lost is edit success, in each batch of edits.",
        titles={1: "Fine-tuning erases edits", 2: "It erases those of AlphaEdit most"},
        cells=tuple(cells),
        parts=(*(_erases(editor) for editor in EDITORS), _most_erased()),
        criteria=(_SCORE,),
        newer=(MOST_ERASED,),
    )


def _lost(values: CellValues, editor: str) -> np.ndarray:
    """Return the edit success that fine-tuning takes, by batch."""
    return weighted(values, [(1.0, editor, _SCORE), (-1.0, f"{editor} | {TRAINING}", _SCORE)])


def _erases(editor: str) -> Part:
    return Part(
        1,
        f"fine-tuning lowers the edit success of {EDITORS[editor]}",
        "edit success",
        BATCHES,
        (editor, f"{editor} | {TRAINING}"),
        lambda values: [_lost(values, editor)],
    )


def _most_erased() -> Part:
    rivals = [editor for editor in EDITORS if editor != MOST_ERASED]
    return Part(
        2,
        f"fine-tuning takes more from {EDITORS[MOST_ERASED]} than from every other editor",
        "edit success lost, AlphaEdit's less that of the editor that loses most of the others",
        BATCHES,
        tuple(text for editor in EDITORS for text in (editor, f"{editor} | {TRAINING}")),
        lambda values: [_lost(values, MOST_ERASED) - _lost(values, rival) for rival in rivals],
    )
