"""Whole experiments with nothing in them, or three known effects, as rows of the query."""

from typing import Any

import numpy as np
import pandas as pd

from tests.analysis.synthetic import frame, run

BATCHES, LEVELS = 5, (0.25, 0.5)
PAIRS = (("ft", "wanda"), ("ft", "sparsegpt"), ("lora", "wanda"), ("ga", "wanda"))
EFFECTS = {("ft", "wanda"): 0.15, ("ft", "sparsegpt"): -0.15, ("lora", "wanda"): 0.15}
GAIN, NOISE = 0.15, 0.03


def null_store(rng: np.random.Generator) -> pd.DataFrame:
    """Four pairs at two levels on five batches, judged by four criteria: nothing is there."""
    runs = []
    for first, second in PAIRS:
        for level in LEVELS:
            for batch in range(BATCHES):
                for steps in (f"{first} | {second}", f"{second} | {first}"):
                    runs.append(_run(steps, level, batch, rng, {}))
    return frame(runs)


def store_with_effects(rng: np.random.Generator) -> pd.DataFrame:
    """Three pairs, at one level, whose edit success depends on the order by ``GAIN``."""
    runs = []
    for (first, second), gain in EFFECTS.items():
        for batch in range(BATCHES):
            for steps, sign in ((f"{first} | {second}", 1), (f"{second} | {first}", -1)):
                value = 0.6 + sign * gain / 2 + rng.normal(0, NOISE)
                runs.append(run(steps, level=0.25, edit_batch=batch, edit_success=value))
    return frame(runs)


def _run(
    steps: str, level: float, batch: int, rng: np.random.Generator, more: dict[str, Any]
) -> dict[str, Any]:
    values = {
        name: middle + rng.normal(0, NOISE)
        for name, middle in (("edit_success", 0.8), ("edit_locality", 0.9), ("mmlu", 0.5))
    }
    values["wikitext_ppl"] = float(np.exp(2 + rng.normal(0, NOISE)))
    return run(steps, level=level, edit_batch=batch, **values, **more)
