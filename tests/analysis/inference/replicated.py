"""Made-up runs over many edit batches, and the interval of the single point of some runs."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.inference.intervals import intervals
from analysis.metrics.composability import point
from tests.analysis.synthetic import curve, frame

RNG = np.random.default_rng(7)
BATCHES = 40
NOISE = RNG.normal(0, 0.05, BATCHES)  # what both orders of an edit batch have in common
FORWARD, BACKWARD = (
    0.70 + NOISE + RNG.normal(0, 0.01, BATCHES),
    0.65 + NOISE + RNG.normal(0, 0.01, BATCHES),
)


def replicated(
    forward: np.ndarray = FORWARD, backward: np.ndarray = BACKWARD, criterion: str = "edit_success"
) -> pd.DataFrame:
    return frame(
        run
        for batch, (first, second) in enumerate(zip(forward, backward, strict=True))
        for run in curve(
            "ft", "wanda", [0.5], [first], [second], criterion=criterion, edit_batch=batch
        )
    )


def interval(runs: pd.DataFrame, items: pd.DataFrame | None = None, **options: Any) -> Any:
    (row,) = intervals(runs, point(runs), items, **options).itertuples()
    return row
