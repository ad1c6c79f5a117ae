"""Read the store as a table: a row per composition, a column per param, tag and metric.

Imports no torch.
"""

from __future__ import annotations

import ast
import copy
import functools
import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from interventions.arguments import checked
from interventions.errors import InvalidInput, shown
from interventions.options import WINDOWS
from tracking import failures, history, schema, store
from tracking.item_scores import items
from tracking.settings import ALL, Settings
from tracking.versions import base_name

__all__ = ["BOOKKEEPING", "PAGE_SIZE", "all_runs", "compositions", "items"]

PAGE_SIZE = 1000  # runs in a request; a server gives no more
_INTEGERS = ("seed", "edit_batch", "window", "stride", "limit")
_TAG_COLUMNS = {
    schema.KEY: "key",
    schema.SWEEP: "sweep",
    schema.RECOMPRESSED: "recompressed",
    schema.REUSED_PREFIX: "reused_prefix",
    schema.DIVERGED: "diverged",
    schema.WITHOUT_EFFECT: "without_effect",
    schema.FAILED_CRITERIA: "failed_criteria",
    schema.WEIGHTS: "weights",
    schema.PUBLISHED: "published",
    schema.ABOUT_INTERVENTIONS: "about_interventions",
    schema.ABOUT_CRITERIA: "about_criteria",
}
_RUN_COLUMNS = (
    "run_id",
    "run_name",
    "experiment_id",
    "experiment",
    "status",
    "start_time",
    "artifact_uri",
)
_CHECKSUM = "checksum"  # of the last checkpoint, where it was logged
# columns of `compositions` that are neither a setting nor a metric;
# "checkpoints" only says which files were logged, and "allow_pickle" of which kind one was
BOOKKEEPING = frozenset(
    (*_RUN_COLUMNS, "checkpoints", "allow_pickle", "data_from", _CHECKSUM, *_TAG_COLUMNS.values())
)
_TEXTS = frozenset((schema.COMPOSITION, schema.PAIR, *schema.SETTINGS))
# what `mlflow run` logs for its -P values: as typed, with the shell's quotes
_LAUNCHER_PARAMS = ("first", "second", "then", "experiment")


@checked
def compositions(
    experiment: str | Iterable[str] | None = None, filter: str | None = None
) -> pd.DataFrame:
    """Return all compositions of one or more experiments, newest first.

    The store gets one request per thousand runs.

    Args:
        experiment: a name, or several; ``composability`` by default.
        filter: MLflow's search syntax, such as
            ``"params.step1 = 'lora' and metrics.edit_success > 0.9"``.

    Returns:
        One row per run that began: ``run_id, run_name, experiment, status, start_time,
        artifact_uri, composition, pair, step1, …``; settings as used (``seed``, ``edit_batch``
        and ``window`` as integers); hyperparameters as their values (``wanda.sparsity`` 0.25); the
        last step's metrics by name, +inf and -inf restored, with ``stderr/…`` and ``cost/…``
        columns.
        The testbed's model and data have their version, ``testbed@1`` where none was recorded.
        A hyperparameter that an intervention had not got yet is what it did then; where a run
        states its interventions' versions (``wanda.version``), the others' are those of then.

    Raises:
        InvalidInput: there is no such experiment.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> address = f"sqlite:///{tempfile.mkdtemp()}/mlflow.db"
        >>> with patch.dict(os.environ, MLFLOW_TRACKING_URI=address):
        ...     experiment_id = store.ensure_experiment()
        ...     compositions(filter="params.step1 = 'lora'").empty
        True
    """
    store.check_reachable(writing=False)
    client = store.client()
    if experiment is None:
        experiment = store.EXPERIMENT
    experiment_names = [experiment] if isinstance(experiment, str) else experiment
    name_of_id = {_experiment_id(client, name): name for name in experiment_names}
    rows = [
        {**row_of(run), "experiment": name_of_id[run.info.experiment_id]}
        for run in all_runs(client, list(name_of_id), filter or "")
        if schema.COMPOSITION in run.data.params
    ]
    _complete(rows)
    frame = pd.DataFrame(rows)
    if rows:
        frame["start_time"] = pd.to_datetime(frame["start_time"], unit="ms", utc=True)
    for column in set(_INTEGERS) & set(frame.columns):
        frame[column] = frame[column].map(_integer).astype("Int64")
    return frame


def all_runs(
    client: MlflowClient, experiment_ids: Sequence[str], filter: str = ""
) -> Iterator[Run]:
    """Yield all runs that a filter lets through, newest first; one request per thousand runs.

    Args:
        client: of the store.
        experiment_ids: where to search.
        filter: MLflow's search syntax; "" lets every run through.
    """
    token = None
    while True:
        with _no_garbage_collection():
            page = client.search_runs(
                list(experiment_ids), filter, max_results=PAGE_SIZE, page_token=token
            )
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    # a page is made of 60,000 objects that all live:
    # to look for garbage among them takes longer than to read them
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _experiment_id(client: MlflowClient, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        known = ", ".join(sorted(e.name for e in client.search_experiments()))
        address = store.shown_address()[:150]
        raise InvalidInput(
            f"no experiment is named {shown(name, 100)} in {address}; there are: {known}"
        )
    return str(experiment.experiment_id)


def row_of(run: Run) -> dict[str, Any]:
    """Return a run as a row of ``compositions``, but for what versions of before did not record."""
    params = {
        key: _value(key, text)
        for key, text in run.data.params.items()
        if key not in _LAUNCHER_PARAMS
    }
    used_keys = [key for key in params if key.startswith(schema.USED)]
    used_settings = {key.removeprefix(schema.USED): params.pop(key) for key in used_keys}
    # runs of before there was a choice, and the paper's rows, do not say these
    row: dict[str, Any] = {"split": "test", "trust_remote_code": "false"}
    names = history.recorded_names(run.data.params)
    data = base_name(names.get("data", ""))
    if data in WINDOWS:
        row["window"] = WINDOWS[data]
    row |= params | used_settings | names
    # somebody's metric of the same name is no setting; what the machine did is no result
    row |= {
        name: value
        for name, value in failures.final_metrics(run).items()
        if name not in _TEXTS and not name.startswith(("step", "system/"))
    }
    tags = schema.renamed(run.data.tags)
    row |= {column: tags[tag] for tag, column in _TAG_COLUMNS.items() if tag in tags}
    last_checksum = tags.get(schema.checksum_tag(len(schema.step_names(params))))
    if last_checksum is not None:
        row[_CHECKSUM] = last_checksum
    # last: somebody's param of the same name is not what the store says of the run
    return row | {column: getattr(run.info, column, "") for column in _RUN_COLUMNS}


def _integer(value: Any) -> Any:
    """Return an integer as it is, and NA for what somebody else logged under the name of one."""
    # beside a run without one, pandas makes a float of it
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return whole if isinstance(whole, int) and abs(whole) < 2**63 else pd.NA


def _complete(rows: list[dict[str, Any]]) -> None:
    """Add what versions of before did not record, but not to what the paper printed."""
    own_rows = [row for row in rows if _TAG_COLUMNS[schema.PUBLISHED] not in row]
    for row in own_rows:
        row |= history.earlier_hyperparameters(row) | history.earlier_sources(row)
    # nor did they choose what is measured, or how many items
    if any("limit" in row for row in rows):
        for row in rows:
            row.setdefault("criteria", ALL)
            row.setdefault("limit", 0)
    for name in schema.UNSAID_SETTINGS:
        if any(name in row for row in rows):
            for row in rows:
                row.setdefault(name, getattr(Settings, name))
    # where no run states a version, none differs
    if any(column.endswith(f".{schema.VERSION}") for row in rows for column in row):
        for row in own_rows:
            row |= history.versions(row)


def _value(key: str, text: str) -> Any:
    """Return hyperparameters and integers as values, all else as text."""
    if "." not in key and key not in _INTEGERS:
        return text
    value = _literal(text)
    # what one row's owner changes is no other row's
    return copy.deepcopy(value) if isinstance(value, list | dict | set | tuple) else value


@functools.lru_cache(maxsize=4096)  # thousands of runs have the same few values
def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
