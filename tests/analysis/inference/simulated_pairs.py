"""Simulated runs of many pairs with known truth, and how often the advice claims something.

A pair is edited and pruned at two levels. Every edit batch has edits of its own, whose difficulty
both orders share; the questions are the same in all batches. A run's noise moves all of its items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.inference.recommend import advise
from analysis.inference.recommendation import Recommendation
from analysis.labels import Labels
from analysis.metrics.composability import point
from tests.analysis.synthetic import frame, run
from tracking.catalogue import Catalogue

LEVELS = (0.25, 0.5)
ITEMS = {"edit_success": 50, "edit_locality": 50, "mmlu": 300}
QUESTIONS = ("mmlu",)


def simulate(
    pairs: int,
    batches: int,
    noise: float,
    gains: Sequence[float] = (0.0, 0.0),
    easy: float = 0.0,
    seed: int = 1,
    with_items: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the runs of pairs that differ in FT's learning rate, and their items.

    Args:
        pairs: how many.
        batches: edit batches of each.
        noise: standard deviation of a run's noise, in every criterion.
        gains: by how much FT first is better in edit success, at each level.
        easy: added to the chance of every item, up to 1; 0.48 saturates.
        seed: of the random numbers.
        with_items: whether the score of every item is returned.
    """
    rng = np.random.default_rng(seed)
    runs, items = [], []
    for pair in range(pairs):
        questions = {name: _difficulty(rng, ITEMS[name], easy) for name in QUESTIONS}
        for batch in range(batches):
            chances = {
                name: questions.get(name, _difficulty(rng, count, easy))
                for name, count in ITEMS.items()
            }
            for level, gain in zip(LEVELS, gains, strict=True):
                for order, sign in (("ft | wanda", 1), ("wanda | ft", -1)):
                    scores = {}
                    for name, chance in chances.items():
                        effect = sign * gain / 2 if name == "edit_success" else 0.0
                        moved = np.clip(chance + effect + rng.normal(0, noise), 0, 1)
                        scores[name] = (rng.random(len(chance)) < moved).astype(float)
                    values = {name: float(score.mean()) for name, score in scores.items()}
                    settings = {"ft.lr": float(pair), "edit_batch": batch}
                    runs.append(run(order, level=level, **settings, **values))
                    if with_items:
                        items += [
                            pd.DataFrame(
                                {
                                    "run_id": runs[-1]["run_id"],
                                    "criterion": name,
                                    "item": np.arange(len(score)),
                                    "score": score,
                                }
                            )
                            for name, score in scores.items()
                        ]
    return frame(runs), pd.concat(items, ignore_index=True) if with_items else None


def _difficulty(rng: np.random.Generator, count: int, easy: float) -> np.ndarray:
    """Return the chance that each item is right."""
    return np.clip(rng.beta(2, 2, count) + easy, 0, 1)


def advice_on_each(
    runs: pd.DataFrame, items: pd.DataFrame | None = None, **options: Any
) -> list[Recommendation]:
    """Return the advice on every simulated pair."""
    titles = Labels(Catalogue.from_runs(runs))
    return [advice for _, advice in advise(runs, point(runs), titles, items, **options)]


def share_that_claims(advice: list[Recommendation]) -> float:
    """Return the share of recommendations that say that an order is better, anywhere."""
    return float(np.mean([" is better by " in one.words or _at_a_level(one) for one in advice]))


def _at_a_level(advice: Recommendation) -> bool:
    return " is better at " in advice.words
