"""Commands in forks of this process, which has imported the libraries: they start at once.

What they left in the store is read by SQL, so that this process never opens MLflow's database.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sqlite3
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import mlflow
import torch

from interventions.data.testbed import MODEL
from interventions.lm import LM
from tracking import schema

# what a fork would import, each time anew
for _module in (
    "composability.command",
    "composability.run_table",
    "mlflow.artifacts",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.artifact.local_artifact_repo",
    "pandas.io.parquet",
    "pyarrow.parquet",
    "sweeps.grid.command",
    "sweeps.study.command",
    "sweeps.study.plots",
    "tracking.checkpoints.restore",
    "tracking.run",
):
    importlib.import_module(_module)
torch.set_num_threads(1)
LM.load(MODEL)  # transformers imports what it needs of a model when the first is loaded

COST = ("cost/", "sweep/")  # metrics that differ each time


@dataclass(frozen=True)
class Place:
    """A store, a cache and a temporary folder of a harness's own.

    Attributes:
        folder: with all of them.
    """

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "mlflow.db"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def rows(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        """Return what the store answers to queries in SQL."""
        address = f"file:{self.database}?mode=ro"
        connection = sqlite3.connect(address, uri=True, timeout=60)
        try:
            return [connection.execute(query).fetchall() for query in queries]
        finally:
            connection.close()

    @property
    def variables(self) -> dict[str, str]:
        return {
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.database}",
            "COMPOSABILITY_CACHE": str(self.cache),
            "TMPDIR": str(self.temporary),
            "TQDM_DISABLE": "1",
            "HF_HUB_OFFLINE": "1",
        }


def new_place(folder: Path, empty_database: Path) -> Place:
    """Make a place with a copy of an empty store."""
    place = Place(folder)
    place.temporary.mkdir(parents=True)
    shutil.copy(empty_database, place.database)
    return place


def make_empty_database(folder: Path) -> Path:
    """Make a SQLite store with MLflow's tables and no run, in a fork."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(folder)
    place.temporary.mkdir(exist_ok=True)

    def prepare() -> int:
        from tracking import store

        store.prepare_database()
        return 0

    status = wait(fork(prepare, place.log, place.variables), 300)
    assert status == 0, place.log.read_text()
    return place.database


def fork(command: Callable[[], int], log: Path, variables: Mapping[str, str]) -> int:
    """Run a command in a fork of this process; return its number.

    Args:
        command: returns the exit status.
        log: gets what it prints.
        variables: of its environment.
    """
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    status = 130  # of Ctrl-C before the command has begun
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for standard in (1, 2):
            os.dup2(descriptor, standard)
        # pytest's write elsewhere
        sys.stdout, sys.stderr = (
            open(standard, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
            for standard in (1, 2)
        )
        os.environ.pop("MLFLOW_RUN_ID", None)
        os.environ.update(variables)
        torch.set_num_threads(1)
        import tempfile

        tempfile.tempdir = None
        # pytest makes errors of them, or keeps them: a sweep says them and goes on
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _say_warning
        mlflow.set_tracking_uri(variables["MLFLOW_TRACKING_URI"])
        status = 99
        status = command()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _say_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(warnings.formatwarning(message, category, filename, lineno, line), file=sys.stderr)


def command_line(words: Sequence[str]) -> Callable[[], int]:
    """Return a call of the command `composability` with a command line."""

    def call() -> int:
        from composability.command import main

        return main(words)

    return call


def wait(process: int, seconds: float) -> int | None:
    """Return the exit status of a fork, -9 of one that was killed; None if it does not end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return None


def kill(process: int) -> None:
    """Kill a fork and wait for it."""
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


@dataclass(frozen=True)
class StoredRun:
    """A run that is not deleted, as the store has it."""

    run_id: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]

    @property
    def values(self) -> dict[str, float]:
        """What was measured after the last step."""
        return {name: value for name, value in self.metrics.items() if not name.startswith(COST)}


def stored_runs(place: Place) -> list[StoredRun]:
    """Return the runs of a store."""
    tables = ("tags", "params", "latest_metrics")
    runs, *tables_of_rows = place.rows(
        "select run_uuid, status from runs where lifecycle_stage = 'active'",
        *(f"select run_uuid, key, value from {table}" for table in tables),
    )
    parts: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in tables}
    for table, rows in zip(tables, tables_of_rows, strict=True):
        for run_id, key, value in rows:
            parts[table].setdefault(run_id, {})[key] = value
    return [
        StoredRun(
            run_id,
            status,
            parts["tags"].get(run_id, {}),
            parts["params"].get(run_id, {}),
            parts["latest_metrics"].get(run_id, {}),
        )
        for run_id, status in runs
    ]


def members(place: Place, sweep: str) -> list[StoredRun]:
    """Return the runs of a sweep, without its parent."""
    return [run for run in stored_runs(place) if run.tags.get(schema.SWEEP) == sweep]


def finished_ids(place: Place, sweep: str) -> set[str]:
    return {run.run_id for run in members(place, sweep) if run.status == "FINISHED"}
