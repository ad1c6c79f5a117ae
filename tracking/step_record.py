"""What a run says of one step: its metrics, its exact scores, and the score of every item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from interventions.criteria.base import Scores
from interventions.criteria.cost import Cost
from tracking import schema


def criteria_metrics(measured: Mapping[str, Scores]) -> dict[str, dict[str, float]]:
    """Return the metrics of each criterion, by its name: its value and its standard error.

    Example:
        >>> criteria_metrics({"mmlu": Scores(0.5, 0.1, {})})
        {'mmlu': {'mmlu': 0.5, 'stderr/mmlu': 0.1}}
    """
    return {
        name: {name: scores.value, f"{schema.STDERR}{name}": scores.stderr}
        for name, scores in measured.items()
    }


def cost_metrics(applying: Cost | None, measuring: Cost) -> dict[str, float]:
    """Return the metrics of what a step cost.

    Args:
        applying: what applying the intervention cost, if known.
        measuring: what measuring cost.
    """
    metrics = {
        schema.SECONDS_MEASURE: measuring.seconds,
        schema.PEAK_MEMORY: max(measuring.peak_gib, applying.peak_gib if applying else 0),
        schema.STEP_MEMORY: (applying or measuring).step_gib,
    }
    return metrics | ({schema.SECONDS_APPLY: applying.seconds} if applying else {})


def exact_scores(measured: Mapping[str, Scores]) -> dict[str, Any]:
    """Return the scores by criterion as strict JSON holds them, inf and NaN as text."""
    number = schema.json_number
    return {
        name: {"value": number(scores.value), "stderr": number(scores.stderr)}
        for name, scores in measured.items()
    }


def item_frames(measured: Mapping[str, Scores], step: int) -> list[pd.DataFrame]:
    """Return the score of every item: columns criterion, step, item, score."""
    return [
        pd.DataFrame(
            {
                "criterion": name,
                "step": step,
                "item": list(scores.items),
                "score": list(scores.items.values()),
            }
        )
        for name, scores in measured.items()
    ]
