"""Runs that were logged, not computed, for the tests of what reads them."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from tracking import schema

NOTHING: Mapping[str, Any] = {}


def log_run(uri: str, experiment_id: str, number: int, items: Path | None = None) -> str:
    """Log a run as our own do; one in eight has an infinite value. Return its id."""
    client = MlflowClient(uri)
    level = (0.25, 0.5)[number % 2]
    first, second = [("ft", "wanda"), ("wanda", "ft")][number // 2 % 2]
    params = {
        "composition": f"{first} | {second}",
        "pair": "ft + wanda",
        "step1": first,
        "step2": second,
        "wanda.sparsity": str(level),
        "ft.layers": "[3, 4]",
        "ft.lr": "0.003",
        "model": "testbed",
        "data": "testbed",
        "seed": "0",
        "edit_batch": str(number // 4),
        "dtype": "auto",
        "used.dtype": "float32",
        "first": "'ft'",
    }
    metrics = {
        "edit_success": number / 10,
        "wikitext_ppl": math.inf if number == 3 else 5.0,
        "stderr/edit_success": 0.01,
    }
    run_id = client.create_run(
        experiment_id, start_time=1_700_000_000_000 + number, run_name=f"run {number}"
    ).info.run_id
    client.log_batch(
        run_id,
        metrics=[
            Metric(key, value, 1_700_000_000_000, step)
            for step in (1, 2)
            for key, value in metrics.items()
        ],
        params=[Param(key, value) for key, value in params.items()],
        tags=[
            RunTag(schema.KEY, f"key {number}"),
            RunTag(schema.DIVERGED, "wikitext_ppl" if number == 3 else ""),
        ],
    )
    if items is not None:
        client.log_artifact(run_id, str(items))
    client.set_terminated(run_id)
    return str(run_id)


def write_items(path: Path) -> Path:
    """Write the scores of three items, of two criteria, at three steps."""
    rows = [
        (criterion, step, str(item), item / 10 + step)
        for criterion in ("mmlu", "wmdp")
        for step in (0, 1, 2)
        for item in range(3)
    ]
    frame = pd.DataFrame(rows, columns=["criterion", "step", "item", "score"])
    frame.to_parquet(path, index=False)
    return path


def logged(
    number: int,
    params: Mapping[str, str],
    metrics: Mapping[str, float] = NOTHING,
    tags: Mapping[str, str] = NOTHING,
) -> Any:
    """Return a run as MLflow's client does, without a store."""
    info = SimpleNamespace(run_id=f"run {number}", experiment_id="7", start_time=number)
    data = SimpleNamespace(params=dict(params), metrics=dict(metrics), tags=dict(tags))
    return SimpleNamespace(info=info, data=data)
