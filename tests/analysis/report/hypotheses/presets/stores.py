"""Made-up values of every composition that a preset needs, with known effects or none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from analysis.report.hypotheses.cells import (
    ALWAYS,
    BATCHES,
    ITEM_CRITERIA,
    QUESTIONS,
    SEEDS,
    SIZE,
    TEXTS,
)
from analysis.report.hypotheses.contrasts import CellValues
from analysis.report.hypotheses.parts import UNTOLD, PartResult, judge_parts, verdict_of
from analysis.report.hypotheses.presets.preset import Preset

CRITERIA = ("edit_success", "wmdp", "mmlu")
Truth = Callable[[str], dict[str, float]]  # of a composition: its criteria, but for those of NULL
Expected = list[tuple[int, list[pd.Series]]]  # number of the finding, differences by replicate
NULL = {"edit_success": 0.7, "wmdp": 0.5, "mmlu": 0.6, "wikitext_ppl": 3.0}
_COUNT = {TEXTS: 200, QUESTIONS: 300}


def store(
    preset: Preset, truth: Truth, seed: int, noise: float = 0.03, replicates: int = 10
) -> dict[str, CellValues]:
    """Return values with noise, and with differences between replicates that all cells share.

    Args:
        preset: whose cells there are.
        truth: the true values of a composition.
        seed: of the noise.
        noise: its standard deviation, of values of runs.
        replicates: batches of edits, and seeds of random cells.
    """
    random = np.random.default_rng(seed)
    by_run = _of_runs(preset, truth, random, noise, replicates)
    items = {kind: _of_items(preset, truth, random, kind) for kind in ITEM_CRITERIA}
    return {BATCHES: by_run, SEEDS: by_run, **items}


def _of_runs(
    preset: Preset, truth: Truth, random: np.random.Generator, noise: float, replicates: int
) -> CellValues:
    shared = random.normal(0, 0.05, (replicates, len(CRITERIA)))
    columns: dict[tuple[str, str], np.ndarray] = {}
    for cell in preset.cells:
        if cell.over in ITEM_CRITERIA:
            continue
        values = np.array([{**NULL, **truth(cell.text)}[name] for name in CRITERIA])
        measured = values + shared + random.normal(0, noise, shared.shape)
        if cell.over == ALWAYS:
            # one model, which no seed changes
            measured = np.where(np.arange(replicates)[:, None] == 0, values, np.nan)
        for name, column in zip(CRITERIA, measured.T, strict=True):
            columns[cell.text, name] = column
    return CellValues(pd.DataFrame(columns))


def _of_items(preset: Preset, truth: Truth, random: np.random.Generator, kind: str) -> CellValues:
    name, count = ITEM_CRITERIA[kind], _COUNT[kind]
    shared = random.normal(0, 1, count)
    columns: dict[tuple[str, str], np.ndarray] = {}
    for cell in preset.cells:
        if cell.over != kind:
            continue
        value = {**NULL, **truth(cell.text)}[name]
        drawn = random.normal(0, 1, count)
        if kind == TEXTS:
            columns[cell.text, name] = value + 0.5 * shared + 0.1 * drawn
            columns[cell.text, SIZE] = np.full(count, truth(cell.text).get(SIZE, 2.0))
        else:
            latent = stats.norm.ppf(value) + np.sqrt(0.9) * shared + np.sqrt(0.1) * drawn
            columns[cell.text, name] = (latent > 0).astype(float)
    return CellValues(pd.DataFrame(columns))


def drawn(preset: Preset) -> pd.DataFrame:
    """Return unlike values above chance of every cell; the base model's are above all others."""
    texts = dict.fromkeys(cell.text for cell in preset.cells)
    columns = [(text, name) for text in texts for name in CRITERIA]
    values = np.random.default_rng(0).uniform(0.3, 0.9, (5, len(columns)))
    table = pd.DataFrame(values, columns=pd.MultiIndex.from_tuples(columns))
    return table + [float(cell == "none") for cell, _ in columns]


def of_criterion(table: pd.DataFrame, criterion: str) -> pd.DataFrame:
    """Return the values of one criterion, a column per cell."""
    return pd.DataFrame(table.xs(criterion, axis=1, level=1))


def assert_measured(preset: Preset, table: pd.DataFrame, expected: Expected) -> None:
    """Check what each part measures, with the number of its finding, in order."""
    assert [part.finding for part in preset.parts] == [number for number, _ in expected]
    assert list(preset.titles) == sorted({number for number, _ in expected})
    for part, (_, differences) in zip(preset.parts, expected, strict=True):
        measured = part.measure(CellValues(table))
        np.testing.assert_allclose(measured, differences, atol=1e-12, err_msg=part.claim)


def judged(preset: Preset, truth: Truth, seed: int, **options: float) -> list[PartResult]:
    """Return what a preset's parts come to on a made-up store."""
    return judge_parts(preset.parts, store(preset, truth, seed, **options))  # type: ignore[arg-type]


def verdicts(preset: Preset, results: list[PartResult]) -> list[str]:
    """Return the verdict on every finding of a preset, in their order."""
    return [
        verdict_of([result for result in results if result.part.finding == number])
        for number in preset.titles
    ]


def claims(results: list[PartResult]) -> list[str]:
    """Return the claims on which there is a verdict."""
    return [result.part.claim for result in results if result.verdict != UNTOLD]
