"""Made-up values of every composition that the findings need, with known effects or none."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import norm

from analysis.report.hypotheses.cells import (
    BATCHES,
    EDITORS,
    ITEM_CRITERIA,
    PRUNERS,
    QUANTIZERS,
    QUESTIONS,
    SEEDS,
    UNLEARNERS,
    Levels,
    needed_cells,
)
from analysis.report.hypotheses.contrasts import CellValues
from analysis.report.hypotheses.paper import CRITERIA

LEVELS = Levels()
NULL = {"edit_success": 0.7, "wmdp": 0.6, "mmlu": 0.6}
Truth = Callable[[list[str]], dict[str, float]]


def nothing(steps: list[str]) -> dict[str, float]:
    """No composition differs from another."""
    return NULL


def as_the_paper(steps: list[str]) -> dict[str, float]:
    """Every finding of the paper is true."""
    edit, compression, unlearner = (
        next((step for step in steps if step in group), "")
        for group in (EDITORS, PRUNERS + QUANTIZERS, UNLEARNERS)
    )
    edits, hazard, ability = 0.95, 0.9, 0.9
    if edit and compression:
        edits = {"ft": 0.70, "lora": 0.65, "memit": 0.85}[edit]
        edits += 0.06 if compression == "awq" else 0
        is_gptq, is_first = compression == "gptq", steps[0] == compression
        edits += 0.08 if is_first != is_gptq else -0.08
    if edit and unlearner:
        after_edit = {"ga": 0.1, "gd": 0.3, "rmu": 0.90}[unlearner]
        edits = after_edit if steps[0] == edit else 0.92
    if unlearner:
        hazard = {"ga": 0.35, "gd": 0.4, "rmu": 0.4}[unlearner]
        ability = {"ga": 0.4, "gd": 0.75, "rmu": 0.85}[unlearner]
        hazard += (0.18 if steps[0] == compression else 0.1) if compression else 0
    return {"edit_success": edits, "wmdp": hazard, "mmlu": ability}


def opposite(steps: list[str]) -> dict[str, float]:
    """Compressions are better the other way round, and FT composes best instead of MEMIT."""
    values = as_the_paper(steps)
    if len(steps) == 2 and {*steps} & {*PRUNERS, *QUANTIZERS} and {*steps} & set(EDITORS):
        values = as_the_paper(steps[::-1])
        values["edit_success"] += {"ft": 0.2, "memit": -0.2}.get(
            next(iter({*steps} & set(EDITORS))), 0
        )
    return values


def store(
    truth: Truth, seed: int, replicates: int = 10, noise: float = 0.03
) -> dict[str, CellValues]:
    """Return values with noise, and with differences between batches that all cells share.

    Args:
        truth: the true values of a composition, of the names of its steps.
        seed: of the noise.
        replicates: batches of edits, and seeds of random cells.
        noise: its standard deviation; of answers to single questions there is always some.

    Returns:
        What the replicates are -> the values.
    """
    random = np.random.default_rng(seed)
    shared = random.normal(0, 0.05, (replicates, len(CRITERIA)))
    hardness = random.normal(size=300)  # of the questions: what one model cannot, others cannot
    by_run: dict[tuple[str, str], np.ndarray] = {}
    by_question: dict[tuple[str, str], np.ndarray] = {}
    for cell in needed_cells(LEVELS):
        steps = [step.partition("(")[0] for step in cell.text.split(" | ")]
        true = truth(steps)
        if cell.over == QUESTIONS:
            latent = 0.8 * hardness + 0.6 * random.normal(size=hardness.shape)
            name = ITEM_CRITERIA[QUESTIONS]
            by_question[cell.text, name] = (latent < norm.ppf(true[name])).astype(float)
            continue
        values = np.array([true[name] for name in CRITERIA])
        measured = values + shared + random.normal(0, noise, shared.shape)
        for name, column in zip(CRITERIA, measured.clip(0, 1).T, strict=True):
            by_run[cell.text, name] = column
    runs = CellValues(pd.DataFrame(by_run))
    return {BATCHES: runs, SEEDS: runs, QUESTIONS: CellValues(pd.DataFrame(by_question))}
