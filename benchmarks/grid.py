"""Measure what a grid costs: `python -m benchmarks.grid [--preset paper] [--sample 20]`.

Three measurements, each in a fresh SQLite store with a fresh cache:

- the preset in one process, with where its time went, from the parent run's metrics;
- a sample of its compositions by one `mlflow run` each, with no checkpoint of another run: half of
  them before the grid and half after it, as the load of the machine comes and goes;
- how long a resume takes to find out what is missing, in an experiment with `--finished` finished
  runs of the same grid, against an empty one.

The grid's table stays as `compositions.csv` in `--output`, with the store that it came from.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, NamedTuple

# measuring processes must start without the seconds that importing torch takes
if TYPE_CHECKING:
    from sweeps.grid.jobs import Job

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINTS = "none"
_PREPARE = "from tracking import store; store.prepare_database(); store.ensure_experiment()"
_PARTS = ("apply", "measure", "load", "save", "log")


class Seconds(NamedTuple):
    """Seconds that a command took.

    Attributes:
        wall: by the clock.
        processor: of the processors, on which other work has less influence.
    """

    wall: float
    processor: float


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of a process whose store and cache are in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # with the id of a run, the process would take itself for a child of `mlflow run`
    inherited = {key: value for key, value in os.environ.items() if key != "MLFLOW_RUN_ID"}
    return inherited | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "COMPOSABILITY_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def time_command(command: Sequence[str], folder: Path) -> Seconds:
    """Run a command with the store and cache of a folder, and return what it took."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.run(
        command, cwd=ROOT, env=environment(folder), capture_output=True, text=True
    )
    if process.returncode:
        output = process.stdout + process.stderr
        raise RuntimeError(f"{' '.join(command)}: {output[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Seconds(time.perf_counter() - start, processor)


def prepare_store(folder: Path) -> None:
    """Make a store with MLflow's tables, which take seconds to make."""
    time_command([sys.executable, "-c", _PREPARE], folder)


def preset_jobs(preset: str) -> list[Job]:
    from sweeps.grid.spec import GridRequest

    request = GridRequest(preset=preset, recompress="auto", checkpoints=CHECKPOINTS)
    return list(request.checked().jobs)


def time_one_by_one(jobs: Sequence[Job], folder: Path) -> list[Seconds]:
    """Return the seconds of each job by one `mlflow run`, without a checkpoint of another."""
    command = ["mlflow", "run", ".", "--env-manager", "local", "--experiment-name", "composability"]
    seconds = []
    for index, job in enumerate(jobs):
        job_folder = folder / f"one-{index}"
        job_folder.mkdir(parents=True)
        shutil.copy(folder / "mlflow.db", job_folder / "mlflow.db")
        specs = (step.spec() for step in job.plan.composition)
        values = dict(zip(("first", "second"), specs, strict=False)) | {"checkpoints": CHECKPOINTS}
        parameters = [f"-P{name}={value}" for name, value in values.items()]
        seconds.append(time_command([*command, *parameters], job_folder))
        wall, processor = seconds[-1]
        print(f"{wall:6.1f} s, of the processors {processor:6.1f} s  {job.name}", flush=True)
        shutil.rmtree(job_folder)
    return seconds


def time_grid(preset: str, folder: Path) -> dict[str, float]:
    """Return the seconds of the whole command, and the metrics of its parent run."""
    command = [sys.executable, "-m", "composability", "grid"]
    # one `mlflow run` each recompresses so, and the parent run then has the preset's name
    options = ["--preset", preset, "--recompress", "auto", "--checkpoints", CHECKPOINTS]
    seconds = time_command([*command, *options], folder)
    return {**seconds._asdict(), **run_part("metrics", folder, preset)}


def parent_metrics(preset: str) -> dict[str, float]:
    """Return the parent run's metrics from the environment's store, and download the table."""
    from mlflow import MlflowClient

    from sweeps.grid.runner import TABLE
    from tracking import schema, store

    client = MlflowClient(tracking_uri=store.uri())
    query = f"tags.`{schema.SWEEP_ROOT}` = '{preset}'"
    (parent,) = client.search_runs([store.ensure_experiment()], query)
    folder = Path(os.environ["COMPOSABILITY_CACHE"]).parent
    client.download_artifacts(parent.info.run_id, TABLE, str(folder))
    return dict(parent.data.metrics)


def time_resume(count: int, folder: Path) -> dict[str, float]:
    """Return seconds until a resume knows what is missing, with 0 or ``count`` finished runs."""
    from benchmarks.analysis import EXPERIMENT, fill

    seconds = {}
    for runs in (0, count):
        store_folder = folder / f"resume-{runs}"
        store_folder.mkdir()
        shutil.copy(folder / "mlflow.db", store_folder / "mlflow.db")
        if runs:
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{store_folder}/mlflow.db"
            uri = os.environ["MLFLOW_TRACKING_URI"]
            fill(uri, runs, "replicates", store_folder, sweep=EXPERIMENT)
        measured = [run_part("finished", store_folder, EXPERIMENT) for _ in range(3)]
        assert all(resume["runs"] == runs for resume in measured)
        seconds[f"resume, {runs} finished"] = median(resume["seconds"] for resume in measured)
    return seconds


def time_settling(name: str) -> dict[str, float]:
    """Return how long it takes to find the finished runs of a grid, and how many there are."""
    from mlflow import MlflowClient

    from sweeps.parent_run import ParentRun
    from tracking import store

    client = MlflowClient(tracking_uri=store.uri())
    parent = ParentRun(client, store.ensure_experiment(name), name)
    start = time.perf_counter()
    return {"runs": len(parent.settle_runs()), "seconds": time.perf_counter() - start}


PARTS = {"metrics": parent_metrics, "finished": time_settling}


def run_part(name: str, folder: Path, argument: str) -> dict[str, float]:
    """Call one of PARTS in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.grid", "--part", name, argument]
    process = subprocess.run(
        command, cwd=ROOT, env=environment(folder), check=True, capture_output=True, text=True
    )
    values: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return values


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--finished", type=int, default=5000)
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--part", nargs=2, help="used by the program itself")
    options = parser.parse_args()
    if options.part:
        name, argument = options.part
        print(json.dumps(PARTS[name](argument)))
        return
    folder = options.output or Path(tempfile.mkdtemp(prefix="composability-grid-"))
    prepare_store(folder)
    print(json.dumps(time_resume(options.finished, folder)), flush=True)
    sample = random.Random(0).sample(preset_jobs(options.preset), options.sample)
    half = len(sample) // 2
    one_by_one = time_one_by_one(sample[:half], folder)
    grid_metrics = time_grid(options.preset, folder)
    print(json.dumps(grid_metrics), flush=True)
    one_by_one += time_one_by_one(sample[half:], folder)
    print(describe(grid_metrics, one_by_one))


def describe(grid_metrics: dict[str, float], one_by_one: Sequence[Seconds]) -> str:
    """Return the figures of the documentation."""
    wall, runs = grid_metrics["sweep/seconds_wall"], int(grid_metrics["sweep/total"])
    seconds = {part: grid_metrics.get(f"sweep/seconds_{part}", 0.0) for part in _PARTS}
    shares = ", ".join(f"{part} {spent / wall:.1%}" for part, spent in seconds.items())
    rest = wall - sum(seconds.values())
    bookkeeping = (seconds["log"] + rest) / wall
    lines = [
        f"{runs} runs, {grid_metrics['sweep/applications']:.0f} applications, {wall / 60:.1f} min:"
        f" {shares}, the rest {rest / wall:.1%} (bookkeeping and logging: {bookkeeping:.1%})"
    ]
    for kind in Seconds._fields:
        alone = [getattr(command, kind) for command in one_by_one]
        in_grid = grid_metrics[kind] / runs
        lines.append(
            f"{in_grid:.2f} s ({kind}) per composition; by one `mlflow run` each"
            f" {mean(alone):.1f} s (mean of {len(alone)}; median {median(alone):.1f}),"
            f" {mean(alone) / in_grid:.1f} times as much"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
