"""Made-up runs over many edit batches, their items, and the interval of their single point."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.inference.intervals import intervals
from analysis.metrics.composability import point
from tests.analysis.synthetic import curve, frame, run

RNG = np.random.default_rng(7)
BATCHES = 40
NOISE = RNG.normal(0, 0.05, BATCHES)  # what both orders of an edit batch have in common
FORWARD, BACKWARD = (
    0.70 + NOISE + RNG.normal(0, 0.01, BATCHES),
    0.65 + NOISE + RNG.normal(0, 0.01, BATCHES),
)


def replicated(
    forward: np.ndarray = FORWARD,
    backward: np.ndarray = BACKWARD,
    criterion: str = "edit_success",
    **columns: Any,
) -> pd.DataFrame:
    """A run per order and edit batch."""
    return frame(
        run
        for batch, (first, second) in enumerate(zip(forward, backward, strict=True))
        for run in curve(
            "ft",
            "wanda",
            [0.5],
            [first],
            [second],
            criterion=criterion,
            **{"edit_batch": batch, **columns},
        )
    )


def interval(runs: pd.DataFrame, items: pd.DataFrame | None = None, **options: Any) -> Any:
    """The single row of some runs."""
    (row,) = intervals(runs, point(runs), items, **options).itertuples()
    return row


def scored(
    forward: np.ndarray,
    backward: np.ndarray,
    criterion: str = "edit_success",
    first_step: str = "ft",
    names: Sequence[str] | None = None,
    **columns: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs with items: scores of shape (units, items); a run's value is the mean of its items.

    ``names``: of the items. ``columns``: values, or functions of the unit's number.
    """
    runs, rows = [], []
    orders = (f"{first_step} | wanda", f"wanda | {first_step}")
    for unit in range(len(forward)):
        told = {name: value(unit) if callable(value) else value for name, value in columns.items()}
        for order, scores in zip(orders, (forward[unit], backward[unit]), strict=True):
            described = {"edit_batch": unit, criterion: float(np.mean(scores)), **told}
            made = run(order, level=0.5, **described)
            runs.append(made)
            ids = names or [str(item) for item in range(len(scores))]
            key = {"run_id": made["run_id"], "criterion": criterion, "step": 2}
            rows += [{**key, "item": i, "score": s} for i, s in zip(ids, scores, strict=True)]
    return frame(runs), pd.DataFrame(rows)
