"""The main command, process start to end, and where its time goes: `python -m benchmarks.main_job [--repeats 3]`.

Each repeat runs `mlflow run . -P first=lora -P second=wanda` with an empty cache and a store of its own, and reads
the split from what the run logged. "launcher" is `mlflow run` itself, the interpreter's start included; "import and
check" is what our process spent before the first step (libraries, the world, the model's config).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlflow import MlflowClient

from tracking import schema

ROOT = Path(__file__).resolve().parents[1]


def once(folder: Path) -> dict[str, float]:
    """Seconds by part, of one run with nothing cached."""
    uri = f"sqlite:///{folder}/mlflow.db"
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": uri,
        "COMPOSABILITY_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    subprocess.run(
        [sys.executable, "-m", "tracking.setup"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
    )
    command = ["mlflow", "run", ".", "-P", "first=lora", "-P", "second=wanda"]
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    total = time.perf_counter() - start
    bare = [
        sys.executable,
        "-m",
        "tracking.run",
        "--first",
        "wnda",
    ]  # refused before anything is loaded
    start = time.perf_counter()
    subprocess.run(bare, cwd=ROOT, env=environment, check=False, capture_output=True)
    importing = time.perf_counter() - start
    client = MlflowClient(uri)
    (run,) = [
        run
        for run in client.search_runs([e.experiment_id for e in client.search_experiments()])
        if run.info.status == "FINISHED"
    ]

    def summed(metric: str) -> float:
        return sum(m.value for m in client.get_metric_history(run.info.run_id, metric))

    parts = {
        "import and check": importing,
        "load": summed(schema.SECONDS_LOAD),
        "apply": summed(schema.SECONDS_APPLY),
        "measure": summed(schema.SECONDS_MEASURE),
        "log": summed(schema.SECONDS_LOG),
    }
    return {"total": total, **parts, "launcher and rest": total - sum(parts.values())}


def main() -> None:
    """Print medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    repeats = []
    for _ in range(parser.parse_args().repeats):
        with tempfile.TemporaryDirectory() as folder:
            repeats.append(once(Path(folder)))
    medians = {part: statistics.median(run[part] for run in repeats) for part in repeats[0]}
    for part, seconds in medians.items():
        print(f"{part:18} {seconds:6.2f} s  {100 * seconds / medians['total']:5.1f} %")


if __name__ == "__main__":
    main()
