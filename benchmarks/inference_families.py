"""How often statements over several points are wrong: sweeps, areas, grids, the best method."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from analysis.inference.corrections import benjamini_hochberg, holm
from analysis.inference.moments import moments_of_scores
from analysis.inference.procedures import estimate
from analysis.inference.sweeps import sweep_tests
from analysis.inference.ties import tied
from analysis.metrics.columns import CURVE, MEASURES
from analysis.metrics.composability import cells, duels, point
from benchmarks.null_pairs import ITEMS, Cell, scores

CONFIDENCE = 0.95
NOISES = (0.0, 0.03, 0.06)
_LEVELS = 5
_WEIGHTS = np.array([0.5, 1, 1, 1, 0.5]) / (_LEVELS - 1)  # of the trapezoidal rule
_ALTERNATING = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
_METHODS = ("wanda", "sparsegpt", "magnitude", "halving", "quartering")


def sweep_rates(
    batches: int, noise: float, crossed: bool, gain: float = 0.0, sweeps: int = 2000
) -> dict[str, float]:
    """Return in percent how often a sweep is said to depend on the order, and coverage of areas.

    The levels of a sweep share their batches, and half of the noise.

    Args:
        batches: of edits.
        noise: standard deviation of a run's shift.
        crossed: whether all batches have the same items.
        gain: true size of the difference, of alternating sign from level to level: the signed area
            is 0, that of its size is ``gain``.
        sweeps: how many.
    """
    rng = np.random.default_rng([7, batches, int(100 * noise), crossed])
    of_items = rng.normal(0, 0.2, (sweeps, 1, 1 if crossed else batches, ITEMS))
    shared, own = (rng.normal(0, noise, (sweeps, levels, batches, 1)) for levels in (1, _LEVELS))
    answers = rng.normal(0, 0.5, (sweeps, _LEVELS, batches, ITEMS))
    differences = answers + of_items + shared + own + gain * _ALTERNATING[:, None, None]
    by_level = differences.reshape(sweeps * _LEVELS, batches, ITEMS)
    levels = estimate(moments_of_scores(by_level, crossed, bounded=False), CONFIDENCE)
    points = pd.DataFrame({name: np.repeat(np.arange(sweeps), _LEVELS) for name in CURVE})
    points = points.assign(
        level=np.tile(np.arange(float(_LEVELS)), sweeps),
        gain=by_level.mean((1, 2)),
        gain_low=levels.low,
        gain_high=levels.high,
        p_claim=levels.p_claim,
        units=batches,
    )
    areas = np.einsum("l,slbi->sbi", _WEIGHTS, differences)
    signed = estimate(moments_of_scores(areas, crossed, bounded=False), CONFIDENCE)
    holds_zero = (signed.low <= 0) & (signed.high >= 0)
    least = np.where(holds_zero, 0, np.minimum(np.abs(signed.low), np.abs(signed.high)))
    ends = np.maximum(np.abs(levels.low), np.abs(levels.high)).reshape(sweeps, _LEVELS)
    return {
        "some level": 100 * float((sweep_tests(points).p <= 1 - CONFIDENCE).sum()) / sweeps,
        "signed area": 100 * float(holds_zero.mean()),
        "area of size": 100 * float(((least <= gain) & (ends @ _WEIGHTS >= gain)).mean()),
    }


def grid_rates(batches: int, kind: str, grids: int = 200, points: int = 300) -> dict[str, float]:
    """Return in percent in how many null grids, of unlike noise, anything is claimed or listed."""
    share = points // len(NOISES)
    parts = []
    for noise in NOISES:
        cell = Cell(batches, 1, noise, kind, pairs=grids * share)
        rng = np.random.default_rng([9, batches, int(100 * noise)])
        forward, backward = scores(cell, rng)
        estimates = estimate(moments_of_scores(forward - backward, cell.crossed), CONFIDENCE)
        parts.append(np.stack([estimates.p, estimates.p_claim]).reshape(2, grids, share))
    p, p_claim = np.concatenate(parts, axis=2)
    claimed = [bool((holm(row) <= 1 - CONFIDENCE).any()) for row in p_claim]
    listed = [bool((benjamini_hochberg(row) <= 1 - CONFIDENCE).any()) for row in p]
    return {"claims": 100 * float(np.mean(claimed)), "lists": 100 * float(np.mean(listed))}


def best_rates(
    batches: int, methods: int, groups: int = 300, noise: float = 0.05
) -> dict[str, float]:
    """Return in percent how often one of some equal methods is said to compose best."""
    rng = np.random.default_rng([11, batches, methods])
    rows = []
    names = _METHODS[:methods]
    for group, batch in itertools.product(range(groups), range(batches)):
        of_batch = rng.normal(0, noise)
        for name, order in itertools.product(names, (0, 1)):
            steps = ("ft", name) if order == 0 else (name, "ft")
            value = 0.6 + of_batch + rng.normal(0, noise)
            rows.append((group, batch, " | ".join(steps), *steps, value))
    columns = ["ft.group", "edit_batch", "composition", "step1", "step2", "edit_success"]
    runs = pd.DataFrame(rows, columns=columns).assign(
        model="m", data="d", seed=0, status="FINISHED"
    )
    runs["pair"] = [" + ".join(sorted(pair)) for pair in zip(runs.step1, runs.step2, strict=True)]
    runs["run_id"] = runs.index.astype(str)
    points = point(runs)
    views = cells(points)
    views = views[views.method.isin(names)]
    fought = duels(views)
    is_best = ~tied(runs, points, views, fought)
    rates = is_best.groupby(fought.measure).mean()
    return {measure: 100 * float(rates[measure]) for measure in MEASURES}
