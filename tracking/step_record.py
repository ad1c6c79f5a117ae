"""What a run says of one step: its metrics, its exact scores, and the score of every item."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from interventions.criteria.base import Scores
from interventions.criteria.cost import Cost
from tracking import schema
from tracking.house_facts import in_house_order


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


def ordered_metrics(measured: Mapping[str, Scores]) -> list[tuple[str, dict[str, float]]]:
    """Return what is logged of each criterion, in the order of MLflow's list of a run's metrics.

    MLflow lists them as they came: the values first, in the order of this project's tables, then
    their standard errors.

    Example:
        >>> scores = Scores(0.5, 0.1, {})
        >>> ordered_metrics({"mmlu": scores, "edit_success": scores})[:2]
        [('edit_success', {'edit_success': 0.5}), ('mmlu', {'mmlu': 0.5})]
        >>> ordered_metrics({"mmlu": scores})[1]
        ('mmlu', {'stderr/mmlu': 0.1})
    """
    metrics = criteria_metrics(measured)
    names = in_house_order(metrics)
    values = [(name, {name: metrics[name].pop(name)}) for name in names]
    return [*values, *((name, metrics[name]) for name in names)]


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


def write_run_files(
    folder: Path, steps: Mapping[str, Any], items: Sequence[pd.DataFrame], has_table: bool
) -> dict[str, str]:
    """Write the exact values and the items of a run; return the tags that say what is there.

    Args:
        folder: to write to.
        steps: what goes into criteria.json.
        items: of ``item_frames``, of all steps.
        has_table: whether items are written as a table for MLflow's Evaluation view, too.
    """
    (folder / schema.CRITERIA_JSON).write_text(json.dumps(steps, indent=1))
    all_items = pd.concat(items)
    all_items.to_parquet(folder / schema.ITEMS, index=False)
    if not has_table or all_items.empty:
        return {}
    items_table(all_items).to_json(folder / schema.ITEMS_TABLE, orient="split", index=False)
    return {schema.TABLES: json.dumps([{"path": schema.ITEMS_TABLE, "type": "table"}])}


def items_table(items: pd.DataFrame) -> pd.DataFrame:
    """Return items as a row each, with a column per step: as a person compares runs by looking.

    The columns are the same in both orders of a pair: criterion, item, ``base model``, ``step 1``,
    ….

    Args:
        items: columns criterion, step, item, score.

    Example:
        >>> rows = {"criterion": "mmlu", "step": [0, 1], "item": "7", "score": [1.0, 0.0]}
        >>> items_table(pd.DataFrame(rows)).to_dict("records")
        [{'criterion': 'mmlu', 'item': '7', 'base model': 1.0, 'step 1': 0.0}]
    """
    wide = items.pivot_table(
        index=["criterion", "item"], columns="step", values="score", sort=False
    )
    wide.columns = pd.Index([f"step {step}" if step else "base model" for step in wide.columns])
    return wide.reset_index()


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
