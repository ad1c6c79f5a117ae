"""The grid's command as a process, and what it left in a store."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from tracking import schema
from tracking.address import sqlite_file

ROOT = Path(__file__).parents[3]
INTERVENTIONS = "ft(steps=1); wanda(samples=4, sparsity=[0.5, 0.75]); ga(samples=4)"
RUNS = 15
STARTED: list[subprocess.Popen[str]] = []
# how a run came to be, not what it came to
HISTORY_COLUMNS = ("run_id", "experiment_id", "start_time", "artifact_uri", "reused_prefix")


def start(
    store: str, cache: Path, *arguments: str, python: Path = Path(sys.executable), **variables: str
) -> subprocess.Popen[str]:
    """Start the command on the testbed."""
    command = [str(python), "-m", "composability", "grid", "--interventions", INTERVENTIONS]
    environment = {
        "MLFLOW_TRACKING_URI": store,
        "COMPOSABILITY_CACHE": str(cache),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    process = subprocess.Popen(
        [*command, "--name", "mine", *arguments],
        cwd=ROOT,
        env=os.environ | environment | variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    STARTED.append(process)
    return process


def ended(process: subprocess.Popen[str], seconds: float = 900) -> tuple[int, str]:
    """Wait for the end; return the exit status, and all that was printed."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out + err


def search(store: str, filter: str) -> list[Run]:
    """Return runs of the default experiment; none before there is one."""
    file = sqlite_file(store)
    if file is not None and not file.exists():
        return []  # MLflow's client would make the tables beside the command, which does that too
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("composability")
    return list(client.search_runs([experiment.experiment_id], filter)) if experiment else []


def statuses(store: str) -> dict[str, list[str]]:
    """Return composition -> statuses of its runs."""
    by_composition: dict[str, list[str]] = {}
    for run in search(store, f"tags.`{schema.SWEEP}` = 'mine'"):
        composition = run.data.params.get("composition", "?")
        by_composition.setdefault(composition, []).append(run.info.status)
    return by_composition


def finished(store: str) -> int:
    """Return how many runs are finished."""
    return sum(runs.count("FINISHED") for runs in statuses(store).values())


def running(store: str) -> list[str]:
    """Return the names of the runs that say RUNNING, the parent's included."""
    return [run.info.run_name for run in search(store, "attributes.status = 'RUNNING'")]


def table(store: str, folder: Path) -> pd.DataFrame:
    """Return the finished grid's table: settings, hyperparameters, keys and criteria.

    Without ids, times and costs, which differ each time.
    """
    (parent,) = search(store, f"tags.`{schema.SWEEP_ROOT}` = 'mine'")
    assert parent.info.status == "FINISHED"
    folder.mkdir(exist_ok=True)
    client = MlflowClient(tracking_uri=store)
    path = client.download_artifacts(parent.info.run_id, "compositions.csv", str(folder))
    frame = pd.read_csv(path)
    columns = [
        column
        for column in frame
        if column not in HISTORY_COLUMNS and not str(column).startswith("cost/")
    ]
    return frame[columns].sort_values(["composition", "edit_batch"], ignore_index=True)
