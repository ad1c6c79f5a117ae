"""The study's command in processes of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.sweeps.study.small_study import NAME, SPEC, trial_runs

ROOT = Path(__file__).parents[3]


def start(cache: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the command on the small testbed, with a moment for every application."""
    module = [sys.executable, "-m", "tests.sweeps.study.slow_tune"]
    objective = "edit_locality:max,edit_success:max"
    study = ["--intervention", SPEC, "--name", NAME, "--objective", objective]
    return subprocess.Popen(
        [*module, *study, *arguments],
        cwd=ROOT,
        env=os.environ | {"COMPOSABILITY_CACHE": str(cache)},
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def start_on_ray(python: Path, uri: str, cache: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the command on the testbed, with four workers, in an environment that has Ray."""
    study = ["--intervention", SPEC, "--space", "paper", "--name", NAME, "--workers", "4"]
    variables = {
        "MLFLOW_TRACKING_URI": uri,
        "COMPOSABILITY_CACHE": str(cache),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    return subprocess.Popen(
        [str(python), "-m", "composability", "tune", *study, *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for_trials(count: int, process: subprocess.Popen[str], seconds: float = 300) -> None:
    """Wait until so many trials have finished, or the process has ended."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and len(trial_runs()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
