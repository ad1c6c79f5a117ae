"""Unlearners and what their presets have in common: replicates, and shares of what was taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from analysis.metrics.restored import LEAST_TAKEN
from analysis.report.hypotheses.cells import (
    ALWAYS,
    ITEM_CRITERIA,
    QUESTIONS,
    SEEDS,
    Cell,
    unlearner_replicates,
)
from analysis.report.hypotheses.contrasts import CannotTest, CellValues, Term, clipped

BASE = "none"
CHANCE = 0.25  # of four choices
FORGOTTEN = ITEM_CRITERIA[QUESTIONS]
NAMES = {"rmu": "RMU", "gd": "GD", "npo": "NPO"}
OVER: Mapping[str, str] = {name: unlearner_replicates(name) for name in NAMES}
UNIT = "share of the WMDP that unlearning took"
REPLICATES = (
    " RMU is replicated by seeds: its direction is drawn at random. GD and NPO draw nothing, so"
    " that each is one unlearned model, and what replicates it are the questions: of them the tests"
    " speak, and of no other run."
)


def cells_of(unlearner: str, texts: Iterable[str], fixed: Iterable[str]) -> list[Cell]:
    """Return an unlearner's cells, with what replicates them.

    Args:
        unlearner: its name.
        texts: compositions with it.
        fixed: compositions without it, which do not depend on the seed.
    """
    over = OVER[unlearner]
    is_random = over == SEEDS
    over_of_fixed = ALWAYS if is_random else QUESTIONS
    return [
        *(Cell(text, over, is_random) for text in texts),
        *(Cell(text, over_of_fixed, is_random=False) for text in fixed),
    ]


def constant_cells(unlearner: str, *texts: str) -> tuple[str, ...]:
    """Return those of some cells without the unlearner that one run stands for in every replicate.

    Of questions there are none: each has its own answer from every model.
    """
    return texts if OVER[unlearner] == SEEDS else ()


def difference(values: CellValues, over: str, plus: str, minus: str) -> np.ndarray:
    """Return what of the unlearned one composition knows more than another, by replicate."""
    terms: list[Term] = [(1.0, plus, FORGOTTEN), (-1.0, minus, FORGOTTEN)]
    return clipped(values, terms, CHANCE, over == QUESTIONS)


def shares(values: CellValues, over: str, unlearner: str, after: str) -> np.ndarray:
    """Return how much a later step brings back, in shares of what unlearning took on average.

    The mean of these is the restored share of ``analysis.metrics.restored``, but for what is below
    chance. All are divided by one number, so that a t test against 0 is one of the differences; a
    ratio in each replicate would be huge where unlearning took little.

    Args:
        values: of the cells.
        over: what the replicates are.
        unlearner: the composition of unlearning alone.
        after: with the later step.

    Returns:
        Shape (replicates,).

    Raises:
        CannotTest: unlearning took less than .05.
    """
    removed = float(difference(values, over, BASE, unlearner).mean())
    if removed < LEAST_TAKEN:
        raise CannotTest(f"unlearning took {removed:.3f} of WMDP, under {LEAST_TAKEN}")
    return difference(values, over, after, unlearner) / removed


def mean_shares(values: CellValues, over: str, unlearner: str, afters: Sequence[str]) -> np.ndarray:
    """Return the shares that several later steps bring back, on average over the steps."""
    by_step = [shares(values, over, unlearner, after) for after in afters]
    average: np.ndarray = np.mean(by_step, axis=0)
    return average


def bound(
    values: CellValues, over: str, unlearner: str, afters: Sequence[str], most: float
) -> np.ndarray:
    """Return how far what comes back stays below a share of what was taken, by replicate.

    Each number is ``most`` times what unlearning took less what came back, over what it took on
    average: linear in the values, so that the interval reckons with the noise of what was taken.
    """
    removed = difference(values, over, BASE, unlearner)
    if removed.mean() < LEAST_TAKEN:
        raise CannotTest(f"unlearning took {removed.mean():.3f} of WMDP, under {LEAST_TAKEN}")
    below: np.ndarray = most * removed / removed.mean() - mean_shares(
        values, over, unlearner, afters
    )
    return below
