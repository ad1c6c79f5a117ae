"""The store as tidy DataFrames: a row per composition, or a row per item. Imports no torch."""

from __future__ import annotations

import ast
import functools
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from tqdm import tqdm

from interventions import cache
from interventions.errors import InvalidInput
from tracking import pages, schema, store

_DOWNLOADS = 16  # at once; each waits for the network
_INTEGERS = ("seed", "edit_batch")
_TAGS = {
    schema.KEY: "key",
    schema.SWEEP: "sweep",
    schema.RECOMPRESSED: "recompressed",
    schema.REUSED_PREFIX: "reused_prefix",
    schema.DIVERGED: "diverged",
    schema.PUBLISHED: "published",
    schema.ABOUT_INTERVENTIONS: "about_interventions",
    schema.ABOUT_CRITERIA: "about_criteria",
}
# columns of `compositions` that are neither a setting nor a metric; "checkpoints" only says what was kept
BOOKKEEPING = frozenset(
    (
        "run_id",
        "run_name",
        "experiment_id",
        "experiment",
        "status",
        "start_time",
        "artifact_uri",
        "checkpoints",
    )
) | frozenset(_TAGS.values())


def compositions(
    experiment: str | Iterable[str] | None = None, filter: str | None = None
) -> pd.DataFrame:
    """All compositions of one or more experiments, newest first; a request per thousand runs.

    Args:
        experiment: name or names; ``composability`` by default.
        filter: MLflow's search syntax, such as ``"params.step1 = 'lora' and metrics.edit_success > 0.9"``.

    Returns:
        One row per run that began: ``run_id, run_name, experiment, status, start_time, artifact_uri, composition,
        pair, step1, …``, settings as used (``seed`` and ``edit_batch`` as integers), hyperparameters as their values
        (``wanda.sparsity`` 0.25), and the last step's metrics by name, +inf and -inf restored, with ``stderr/…`` and
        ``cost/…`` columns beside them.

    Raises:
        InvalidInput: there is no such experiment.
    """
    client = MlflowClient(tracking_uri=store.uri())
    names = (
        [store.EXPERIMENT]
        if experiment is None
        else [experiment]
        if isinstance(experiment, str)
        else experiment
    )
    ids = {_experiment_id(client, name): name for name in names}
    rows = [
        {**_row(run), "experiment": ids[run.info.experiment_id]}
        for run in pages.runs(client, list(ids), filter or "")
        if schema.COMPOSITION in run.data.params
    ]
    frame = pd.DataFrame(rows)
    if rows:
        frame["start_time"] = pd.to_datetime(frame["start_time"], unit="ms", utc=True)
    for column in set(_INTEGERS) & set(frame.columns):
        frame[column] = frame[column].astype("Int64")
    return frame


def items(
    runs: pd.DataFrame | Iterable[str],
    criteria: Iterable[str] | None = None,
    last: bool = True,
    missing: str = "raise",
) -> pd.DataFrame:
    """The score of every item of some runs, for paired statistics.

    One file per run is read: where it lies if artifacts are local, else downloaded, 16 at once, and kept beside the
    checkpoints.

    Args:
        runs: rows of ``compositions``, or run ids.
        criteria: names; all by default.
        last: only the last step of each run.
        missing: "raise", or "skip" runs without the file (those that did not finish, the published ones).

    Returns:
        A row per run, criterion, step and item: ``run_id, criterion, step, item, score``.

    Raises:
        InvalidInput: a run has no such file, or none has such a criterion.
    """
    places = _places(runs)
    wanted = list(criteria) if criteria is not None else None
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        read = pool.map(functools.partial(_read_items, wanted, last), places.items())
        found = list(tqdm(read, total=len(places), desc="items", unit="run", delay=2, disable=None))
    lacking = [run_id for run_id, frame in zip(places, found, strict=True) if frame is None]
    if lacking and missing == "raise":
        raise InvalidInput(
            f"run {lacking[0]} has no {schema.ITEMS} ({len(lacking)} of {len(places)} have none)"
        )
    frames = [frame for frame in found if frame is not None]
    empty = pd.DataFrame(columns=["run_id", "criterion", "step", "item", "score"])
    whole = pd.concat(frames, ignore_index=True) if frames else empty
    unknown = sorted(set(wanted or ()) - set(whole.criterion))
    if unknown and missing == "raise":
        there = ", ".join(sorted(set(items(runs, last=last).criterion)))
        raise InvalidInput(f"no run has items of criterion {unknown[0]!r}; they have: {there}")
    return whole


def _experiment_id(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        known = ", ".join(sorted(e.name for e in client.search_experiments()))
        raise InvalidInput(f"no experiment is named {name!r} in {store.uri()}; there are: {known}")
    return str(found.experiment_id)


def _row(run: Run) -> dict[str, Any]:
    info, data = run.info, run.data
    row: dict[str, Any] = {
        "run_id": info.run_id,
        "run_name": info.run_name,
        "experiment_id": info.experiment_id,
        "experiment": "",
        "status": info.status,
        "start_time": info.start_time,
        "artifact_uri": info.artifact_uri,
    }
    params = {
        key: _value(key, text) for key, text in data.params.items() if not _launcher_param(key)
    }
    used = {
        key.removeprefix(schema.USED): params.pop(key)
        for key in list(params)
        if key.startswith(schema.USED)
    }
    row |= (
        {"split": "test"} | params | used
    )  # runs of before there was a choice, and the paper's, do not say it
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


def _places(runs: pd.DataFrame | Iterable[str]) -> dict[str, str]:
    """Run id to where its artifacts are; asked of the store only where the caller has ids alone."""
    if isinstance(runs, pd.DataFrame):
        return dict(zip(runs.run_id, runs.artifact_uri, strict=True))
    client = MlflowClient(tracking_uri=store.uri())

    def place(run_id: str) -> tuple[str, str]:
        try:
            return run_id, client.get_run(run_id).info.artifact_uri
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise InvalidInput(f"no run {run_id!r} in {store.uri()}") from error
            raise

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        return dict(pool.map(place, runs))


def _read_items(
    criteria: list[str] | None, last: bool, place: tuple[str, str]
) -> pd.DataFrame | None:
    run_id, uri = place
    path = _local(run_id, uri)
    if path is None:
        return None
    chosen = [("criterion", "in", criteria)] if criteria is not None else None
    frame = pd.read_parquet(path, filters=chosen)
    if last and len(frame):
        frame = frame[frame.step == frame.step.max()]
    frame.insert(0, "run_id", run_id)
    return frame


def _local(run_id: str, uri: str) -> Path | None:
    """The file on this machine; None if the run has none."""
    place = urlparse(uri)
    if place.scheme in ("", "file"):
        path = Path(url2pathname(place.path)) / schema.ITEMS
        return path if path.exists() else None
    kept = cache.folder() / "items" / f"{run_id}.parquet"
    if kept.exists():
        return kept
    if schema.ITEMS not in {
        Path(file.path).name for file in list_artifacts(artifact_uri=uri, tracking_uri=store.uri())
    }:
        return None
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".writing-") as aside:
        found = download_artifacts(
            artifact_uri=f"{uri}/{schema.ITEMS}", dst_path=aside, tracking_uri=store.uri()
        )
        os.replace(found, kept)
    return kept
