"""Made-up pairs with a known difference between their orders: the scores of every item.

A pair is run on batches of edits, with seeds, in both orders. An item's score is 1 or 0. Each run
has noise of its own, by which all of its items are answered better or worse: of standard deviation
0, that is equal for all seeds, .03 or .06. Some items depend on the order; half of them are
answered anew in each batch (crossed) or run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ITEMS = 50
KINDS = ("nested", "crossed", "saturated", "saturated crossed")
_OF_ORDER = 0.1  # standard deviation of what the order does to an item
_ANEW = 0.5  # share of answers that are drawn anew in each run


@dataclass(frozen=True)
class Cell:
    """What is simulated.

    Attributes:
        batches: of edits.
        seeds: of each batch.
        noise: standard deviation of a run's shift.
        kind: "nested": each batch has edits of its own; "crossed": all have the same questions;
            "saturated": nested, and 98 of 100 answers are right; "saturated crossed".
        gain: the true difference between the orders.
        pairs: how many.
        items: of a batch.
    """

    batches: int
    seeds: int
    noise: float
    kind: str
    gain: float = 0.0
    pairs: int = 2000
    items: int = ITEMS

    @property
    def crossed(self) -> bool:
        """Whether all batches have the same items."""
        return self.kind.endswith("crossed")

    @property
    def saturated(self) -> bool:
        """Whether nearly all answers are right."""
        return self.kind.startswith("saturated")


def scores(cell: Cell, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of both orders, means over the seeds of a batch.

    Returns:
        Shape (pairs, batches, items) each; where items are crossed, equal ones at equal positions.
    """
    of_items = (cell.pairs, 1 if cell.crossed else cell.batches, 1, cell.items)
    runs = (cell.pairs, cell.batches, cell.seeds, 1)
    answers = (cell.pairs, cell.batches, cell.seeds, cell.items)
    middle = 0.98 if cell.saturated else 0.5
    easiness = middle + (0.0 if cell.saturated else rng.uniform(-0.1, 0.1, of_items))
    of_order = 0.0 if cell.saturated else rng.normal(0, _OF_ORDER, of_items)
    # seeds of a run without noise are equal runs
    draws = answers if cell.noise else (cell.pairs, cell.batches, 1, cell.items)
    sides = []
    for sign in (1.0, -1.0):
        shift = rng.normal(0, cell.noise, runs) if cell.noise else 0.0
        chance = easiness + sign * (cell.gain + of_order) / 2 + shift
        is_anew = rng.random(of_items) < _ANEW
        threshold = np.where(is_anew, rng.random(draws), rng.random(of_items))
        sides.append(np.broadcast_to(threshold < chance, answers).mean(axis=2))
    return sides[0], sides[1]


def true_values(cell: Cell, rng: np.random.Generator) -> tuple[float, float]:
    """Return the expected score of both orders.

    Without saturation no chance leaves [0, 1] but by a shift of four standard deviations.
    """
    if not cell.saturated:
        return 0.5 + cell.gain / 2, 0.5 - cell.gain / 2
    shift = rng.normal(0, cell.noise, 1_000_000) if cell.noise else np.zeros(1)
    chances = [np.clip(0.98 + sign * cell.gain / 2 + shift, 0, 1).mean() for sign in (1, -1)]
    return float(chances[0]), float(chances[1])
