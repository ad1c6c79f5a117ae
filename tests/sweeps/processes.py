"""The grid's command as a process, and what it left in a store."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from tracking import schema

ROOT = Path(__file__).parents[2]
TEXT = "ft(steps=1); wanda(samples=4, sparsity=[0.5, 0.75]); ga(samples=4)"
RUNS = 15
STARTED: list[subprocess.Popen[str]] = []
HISTORY = (
    "run_id",
    "experiment_id",
    "start_time",
    "artifact_uri",
    "reused_prefix",
)  # how it came to be, not what


def start(
    store: str, cache: Path, *arguments: str, python: Path = Path(sys.executable), **variables: str
) -> subprocess.Popen[str]:
    """The command on the testbed."""
    command = [
        str(python),
        "-m",
        "sweeps.grid",
        "--interventions",
        TEXT,
        "--name",
        "mine",
        *arguments,
    ]
    own = {
        "MLFLOW_TRACKING_URI": store,
        "COMPOSABILITY_CACHE": str(cache),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | own | variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    STARTED.append(process)
    return process


def ended(process: subprocess.Popen[str], seconds: float = 900) -> tuple[int, str]:
    """Its exit status, and all it said."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out + err


def statuses(store: str) -> dict[str, list[str]]:
    """Composition -> statuses of its runs."""
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("composability")
    told = f"tags.`{schema.SWEEP}` = 'mine'"
    found: dict[str, list[str]] = {}
    for run in client.search_runs([experiment.experiment_id], told) if experiment else ():
        found.setdefault(run.data.params.get("composition", "?"), []).append(run.info.status)
    return found


def finished(store: str) -> int:
    """How many runs are."""
    return sum(status == "FINISHED" for each in statuses(store).values() for status in each)


def running(store: str) -> list[str]:
    """What of the grid says RUNNING, its parent included."""
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("composability")
    assert experiment
    found = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    return [run.info.run_name for run in found]


def table(store: str, folder: Path) -> pd.DataFrame:
    """The finished grid's table: settings, hyperparameters, keys and criteria, but no ids, times and costs."""
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("composability")
    assert experiment
    (root,) = client.search_runs([experiment.experiment_id], f"tags.`{schema.SWEEP_ROOT}` = 'mine'")
    assert root.info.status == "FINISHED"
    folder.mkdir(exist_ok=True)
    frame = pd.read_csv(
        client.download_artifacts(root.info.run_id, "compositions.csv", str(folder))
    )
    kept = [
        column for column in frame if column not in HISTORY and not str(column).startswith("cost/")
    ]
    return frame[kept].sort_values(["composition", "edit_batch"], ignore_index=True)
