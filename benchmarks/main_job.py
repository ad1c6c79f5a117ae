"""The main command, process start to end, and where its time goes: `python -m benchmarks.main_job`.

Each of ``--repeats`` runs `mlflow run . -P first=lora -P second=wanda` with an empty cache and a
store of its own, and reads the split from what the run logged. "launcher" is `mlflow run` itself,
the interpreter's start included; "import and check" is what our process spent before the first step
(libraries, the world, the model's config).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow import MlflowClient

from tracking import schema

ROOT = Path(__file__).resolve().parents[1]
LOGGED = {
    "load": schema.SECONDS_LOAD,
    "apply": schema.SECONDS_APPLY,
    "measure": schema.SECONDS_MEASURE,
    "log": schema.SECONDS_LOG,
}


def measure_once(folder: Path) -> dict[str, float]:
    """Return the seconds of each part of one run with nothing cached."""
    uri = f"sqlite:///{folder}/mlflow.db"
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": uri,
        "COMPOSABILITY_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    composability = [sys.executable, "-m", "composability"]
    subprocess.run(
        [*composability, "setup"], cwd=ROOT, env=environment, check=True, capture_output=True
    )
    launch = ["mlflow", "run", ".", "-P", "first=lora", "-P", "second=wanda"]
    total = _seconds(launch, environment)
    # A misspelled step is refused once everything is imported, before anything is loaded.
    importing = _seconds([*composability, "run", "wnda"], environment, check=False)
    client = MlflowClient(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, "attributes.status = 'FINISHED'")
    (run,) = runs
    parts = {"import and check": importing}
    for part, metric in LOGGED.items():
        history = client.get_metric_history(run.info.run_id, metric)
        parts[part] = sum(step.value for step in history)
    return {"total": total, **parts, "launcher and rest": total - sum(parts.values())}


def _seconds(command: Sequence[str], environment: Mapping[str, str], check: bool = True) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=dict(environment), check=check, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Print medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    repeats = []
    for _ in range(parser.parse_args().repeats):
        with tempfile.TemporaryDirectory() as folder:
            repeats.append(measure_once(Path(folder)))
    medians = {part: statistics.median(run[part] for run in repeats) for part in repeats[0]}
    for part, duration in medians.items():
        print(f"{part:18} {duration:6.2f} s  {100 * duration / medians['total']:5.1f} %")


if __name__ == "__main__":
    main()
