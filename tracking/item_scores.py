"""Read the score of every item of some runs, for paired statistics. Imports no torch."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pandas as pd
from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.exceptions import MlflowException
from tqdm import tqdm

from interventions import cache
from interventions.arguments import check_columns, check_type, checked
from interventions.aside import scratch_folder, whole_folder
from interventions.errors import InvalidInput, one_of, shown
from tracking import schema, store

_DOWNLOADS = 16  # requests under way; each waits for the network
_COLUMNS = ("run_id", "criterion", "step", "item", "score")


@checked
def items(
    runs: pd.DataFrame | Iterable[str],
    criteria: Iterable[str] | None = None,
    last: bool = True,
    missing: str = "raise",
) -> pd.DataFrame:
    """Return the score of every item of some runs.

    One file per run is read: in place if artifacts are local, else downloaded, 16 requests at a
    time, and stored beside the checkpoints.

    Args:
        runs: rows of ``compositions``, or run ids.
        criteria: names; all by default.
        last: whether to return only the last step of each run.
        missing: "raise", or "skip" runs without the file (unfinished ones, the paper's rows).

    Returns:
        A row per run, criterion, step and item: ``run_id, criterion, step, item, score``.

    Raises:
        InvalidInput: a run has no such file, or none has such a criterion.

    Example:
        >>> items([])
        Empty DataFrame
        Columns: [run_id, criterion, step, item, score]
        Index: []
    """
    one_of("missing", missing, ("raise", "skip"))
    artifact_uris = _artifact_uris(runs)
    wanted = list(criteria) if criteria is not None else None
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        reading = pool.map(functools.partial(_read_items, wanted, last), artifact_uris.items())
        bar = tqdm(
            reading, total=len(artifact_uris), desc="items", unit="run", delay=2, disable=None
        )
        frame_of_run = dict(zip(artifact_uris, bar, strict=True))
    lacking = [run_id for run_id, frame in frame_of_run.items() if frame is None]
    if lacking and missing == "raise":
        raise InvalidInput(
            f"run {lacking[0]} has no {schema.ITEMS}"
            f" ({len(lacking)} of {len(artifact_uris)} have none)"
        )
    frames = [frame for frame in frame_of_run.values() if frame is not None]
    scores = (
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(_COLUMNS))
    )
    unknown = sorted(set(wanted or ()) - set(scores.criterion))
    if unknown and missing == "raise":
        known = ", ".join(sorted(set(items(runs, last=last).criterion)))
        raise InvalidInput(
            f"no run has items of criterion {shown(unknown[0], 99)}; they have: {known}"
        )
    return scores


def _artifact_uris(runs: pd.DataFrame | Iterable[str]) -> dict[str, str]:
    """Return where each run's artifacts lie; the store is asked only if ids alone are given."""
    if isinstance(runs, pd.DataFrame):
        check_columns("runs", runs, ("run_id", "artifact_uri"))
        return dict(zip(runs.run_id, runs.artifact_uri, strict=True))
    run_ids = list(runs)
    for run_id in run_ids:
        check_type("each of runs", run_id, str)
    store.check_reachable(writing=False)
    client = store.client()

    def artifact_uri(run_id: str) -> tuple[str, str]:
        try:
            return run_id, client.get_run(run_id).info.artifact_uri
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise InvalidInput(f"no run {run_id!r} in {store.shown_address()}") from error
            raise

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        return dict(pool.map(artifact_uri, run_ids))


def _read_items(
    criteria: list[str] | None, last: bool, run: tuple[str, str]
) -> pd.DataFrame | None:
    run_id, artifact_uri = run
    filters = None if criteria is None else [("criterion", "in", criteria)]
    with ExitStack() as stack:
        path = _local_file(run_id, artifact_uri, stack)
        if path is None:
            return None
        frame = pd.read_parquet(path, filters=filters)
    if last and len(frame):
        frame = frame[frame.step == frame.step.max()]
    frame.insert(0, "run_id", run_id)
    return frame


def _local_file(run_id: str, artifact_uri: str, stack: ExitStack) -> Path | None:
    """Return the file on this machine, downloaded if need be; None if the run has none.

    Where it cannot be kept in the cache, it goes when the stack is closed.
    """
    address = urlparse(artifact_uri)
    if address.scheme in ("", "file"):
        path = Path(url2pathname(address.path)) / schema.ITEMS
        return path if path.exists() else None
    path = cache.folder() / "items" / f"{run_id}.parquet"
    if path.exists():
        return path
    files = list_artifacts(artifact_uri=artifact_uri, tracking_uri=store.uri())
    if schema.ITEMS not in {Path(file.path).name for file in files}:
        return None
    try:
        aside = stack.enter_context(whole_folder(path.parent))
    except OSError:
        aside = stack.enter_context(scratch_folder())
    downloaded = download_artifacts(
        artifact_uri=f"{artifact_uri}/{schema.ITEMS}",
        dst_path=str(aside),
        tracking_uri=store.uri(),
    )
    try:
        os.replace(downloaded, path)
    except OSError:
        return Path(downloaded)
    return path
