"""The store as one tidy DataFrame: a row per composition. Imports no torch."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from interventions.registry import InvalidInput
from tracking import schema, store

_PAGE = 1000
_INTEGERS = ("seed", "edit_batch")
_TAGS = {
    schema.KEY: "key",
    schema.SWEEP: "sweep",
    schema.RECOMPRESSED: "recompressed",
    schema.REUSED_PREFIX: "reused_prefix",
    schema.DIVERGED: "diverged",
}


def compositions(experiment: str | Iterable[str] | None = None, filter: str | None = None) -> pd.DataFrame:
    """All compositions of one or more experiments, newest first.

    Args:
        experiment: name or names; ``composability`` by default.
        filter: MLflow's search syntax, such as ``"params.step1 = 'lora' and metrics.edit_success > 0.9"``.

    Returns:
        One row per run that began: ``run_id, run_name, status, start_time, composition, pair, step1, …``, settings
        as used
        (``seed`` and ``edit_batch`` as integers), hyperparameters as their values (``wanda.sparsity`` 0.25), and the
        last step's metrics by name, +inf and -inf restored, with ``stderr/…`` and ``cost/…`` columns beside them.

    Raises:
        InvalidInput: there is no such experiment.
    """
    client = MlflowClient(tracking_uri=store.uri())
    names = [store.EXPERIMENT] if experiment is None else [experiment] if isinstance(experiment, str) else experiment
    ids = [_experiment_id(client, name) for name in names]
    rows = [_row(run) for run in _runs(client, ids, filter or "") if schema.COMPOSITION in run.data.params]
    frame = pd.DataFrame(rows)
    for column in set(_INTEGERS) & set(frame.columns):
        frame[column] = frame[column].astype("Int64")
    return frame


def _experiment_id(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        known = ", ".join(sorted(e.name for e in client.search_experiments()))
        raise InvalidInput(f"no experiment is named {name!r} in {store.uri()}; there are: {known}")
    return str(found.experiment_id)


def _runs(client: MlflowClient, ids: list[str], filter: str) -> Iterable[Run]:
    token = None
    while True:
        page = client.search_runs(ids, filter, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _row(run: Run) -> dict[str, Any]:
    info, data = run.info, run.data
    row: dict[str, Any] = {
        "run_id": info.run_id,
        "run_name": info.run_name,
        "experiment_id": info.experiment_id,
        "status": info.status,
        "start_time": pd.to_datetime(info.start_time, unit="ms", utc=True),
    }
    params = {key: _value(key, text) for key, text in data.params.items() if not _launcher_param(key)}
    used = {key.removeprefix(schema.USED): params.pop(key) for key in list(params) if key.startswith(schema.USED)}
    row |= params | used
    row |= {name: data.tags[tag] for tag, name in _TAGS.items() if tag in data.tags}
    row |= {name: schema.from_store(value) for name, value in data.metrics.items()}
    return row


def _launcher_param(key: str) -> bool:
    """`mlflow run` logs -P values as it got them, quotes and all."""
    return key in ("first", "second", "then", "experiment")


def _value(key: str, text: str) -> Any:
    """Hyperparameters and integers as values; everything else as text."""
    if "." in key or key in _INTEGERS:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text
    return text
