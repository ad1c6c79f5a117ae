"""Launcher harness: `mlflow run` is killed with -9 while the process that it started imports."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.robustness.forks import Place, make_empty_database, new_place, stored_runs
from tests.robustness.tally import Attempts

ROOT = Path(__file__).resolve().parents[2]
DEFINITION = (
    "killed up to three seconds after the process below it has begun, while that imports its"
    " libraries, `mlflow run` leaves a run that ends KILLED within two minutes, by that process,"
    " which ends too"
)
_SECONDS = 240.0


def launchers(count: int, seed: int, folder: Path) -> Attempts:
    """Kill ``count`` launchers."""
    attempts, rng = Attempts("launcher killed", seed, DEFINITION), random.Random(seed)
    empty = make_empty_database(folder / "empty")
    for number in range(count):
        place = new_place(folder / f"round-{number}", empty)
        attempts.note("KILL", _one(place, rng.uniform(0, 3)))
    return attempts


def _one(place: Place, delay: float) -> str:
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local"]
    command += ["-P", "first=magnitude", "-P", "criteria=sparsity"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | place.variables | {"PATH": path, "PYTHONPATH": str(ROOT)}
    with place.log.open("ab") as log:
        launcher = subprocess.Popen(
            command, cwd=place.folder, env=environment, stdout=log, stderr=log
        )
    end = time.monotonic() + _SECONDS
    below: list[psutil.Process] = []
    while not below and time.monotonic() < end:
        time.sleep(0.05)
        children = psutil.Process(launcher.pid).children(recursive=True)
        below = [child for child in children if "composability" in " ".join(child.cmdline())]
    time.sleep(delay)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    _, alive = psutil.wait_procs(below, timeout=_SECONDS)
    for process in alive:
        process.kill()
    statuses = [run.status for run in stored_runs(place)]
    if alive:
        return f"the process below it goes on; {statuses}"
    ended = f"the run says {statuses}: {place.log.read_text()[-800:]}"
    return "" if statuses == ["KILLED"] else ended
