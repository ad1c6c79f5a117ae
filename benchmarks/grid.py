"""What a grid costs: `python -m benchmarks.grid [--preset paper] [--sample 20] [--finished 5000]`.

Three measurements, each in a fresh SQLite store with a fresh cache:

- the preset in one process, with where its time went, from the parent run's metrics;
- a sample of its compositions by one `mlflow run` each, none of which finds anything kept: half of them before the
  grid and half after it, as other load on the machine comes and goes;
- how long a resume takes to start (what is finished, what is not) in an experiment with so many finished runs of the
  same grid, against an empty one.

The grid's table stays as `compositions.csv` in `--output`, with the store it came from.
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
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINTS = "none"


class Seconds(NamedTuple):
    """Of a command: by the clock, and of the processors, on which other work has less influence."""

    wall: float
    processor: float


def environment(folder: Path) -> dict[str, str]:
    """Of a process whose store and cache are in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    own = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "COMPOSABILITY_CACHE": str(folder / "cache"),
    }
    kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_RUN_ID"}
    return (
        kept
        | own
        | {"HF_HUB_OFFLINE": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    )


def timed(command: Sequence[str], folder: Path) -> Seconds:
    """What a command takes."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=ROOT, env=environment(folder), capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(done.stdout + done.stderr)[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Seconds(time.perf_counter() - start, processor)


def prepare(folder: Path) -> Path:
    """A store with MLflow's tables, which take seconds to make."""
    timed(
        [sys.executable, "-c", "from tracking import store; store.prepare(); store.experiment()"],
        folder,
    )
    return folder


def plan(preset: str) -> list[Any]:
    """The preset's jobs."""
    from interventions.composition import sweep
    from sweeps.grid import enumerate as enumeration
    from sweeps.grid import jobs
    from tracking.plan import RunContext
    from tracking.settings import Settings

    steps = sweep(enumeration.preset(preset))
    return jobs.make(
        enumeration.compositions(steps, (0, 1, 2)), [RunContext(Settings(checkpoints=CHECKPOINTS))]
    )


def one_by_one(jobs: Sequence[Any], folder: Path) -> list[Seconds]:
    """Seconds of each by one `mlflow run`, with nothing kept from another."""
    seconds = []
    for i, job in enumerate(jobs):
        own = folder / f"one-{i}"
        own.mkdir(parents=True)
        shutil.copy(folder / "mlflow.db", own / "mlflow.db")
        names = dict(
            zip(("first", "second"), (step.spec() for step in job.plan.composition), strict=False)
        )
        given = [f"-P{name}={spec}" for name, spec in {**names, "checkpoints": CHECKPOINTS}.items()]
        command = [
            "mlflow",
            "run",
            ".",
            "--env-manager",
            "local",
            "--experiment-name",
            "composability",
            *given,
        ]
        seconds.append(timed(command, own))
        print(
            f"{seconds[-1].wall:6.1f} s, of the processors {seconds[-1].processor:6.1f} s  {job.name}",
            flush=True,
        )
        shutil.rmtree(own)
    return seconds


def whole(preset: str, folder: Path) -> dict[str, float]:
    """The grid's metrics, and the seconds of the whole command."""
    command = [
        sys.executable,
        "-m",
        "sweeps.grid",
        "--preset",
        preset,
        "--checkpoints",
        CHECKPOINTS,
    ]
    return {**timed(command, folder)._asdict(), **part("metrics", folder, preset)}


def metrics(preset: str) -> dict[str, float]:
    """What the parent run says, in the store that the environment names; its table comes along."""
    from mlflow import MlflowClient

    from sweeps.grid.runner import TABLE
    from tracking import schema, store

    client = MlflowClient(tracking_uri=store.uri())
    (root,) = client.search_runs([store.experiment()], f"tags.`{schema.SWEEP_ROOT}` = '{preset}'")
    client.download_artifacts(
        root.info.run_id, TABLE, str(Path(os.environ["COMPOSABILITY_CACHE"]).parent)
    )
    return dict(root.data.metrics)


def resume(count: int, folder: Path) -> dict[str, float]:
    """Seconds from a resume's beginning until it knows what is missing, with and without so many finished runs."""
    from benchmarks.analysis import EXPERIMENT, fill

    seconds = {}
    for runs in (0, count):
        own = folder / f"resume-{runs}"
        own.mkdir()
        shutil.copy(folder / "mlflow.db", own / "mlflow.db")
        if runs:
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{own}/mlflow.db"
            fill(os.environ["MLFLOW_TRACKING_URI"], runs, "replicates", own, sweep=EXPERIMENT)
        found = [part("finished", own, EXPERIMENT) for _ in range(3)]
        assert all(each["runs"] == runs for each in found)
        seconds[f"resume, {runs} finished"] = median(each["seconds"] for each in found)
    return seconds


def finished(name: str) -> dict[str, float]:
    """What a resume asks first."""
    from mlflow import MlflowClient

    from sweeps.parent_run import Ledger
    from tracking import store

    ledger = Ledger(MlflowClient(tracking_uri=store.uri()), store.experiment(name), name)
    start = time.perf_counter()
    return {"runs": len(ledger.finished()), "seconds": time.perf_counter() - start}


PARTS = {"metrics": metrics, "finished": finished}


def part(name: str, folder: Path, argument: str) -> dict[str, float]:
    """One of PARTS in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.grid", "--part", name, argument]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(folder), check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


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
    given = parser.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part[0]](given.part[1])))
        return
    folder = given.output or Path(tempfile.mkdtemp(prefix="composability-grid-"))
    prepare(folder)
    print(json.dumps(resume(given.finished, folder)), flush=True)
    sample = random.Random(0).sample(plan(given.preset), given.sample)
    half = len(sample) // 2
    alone = one_by_one(sample[:half], folder)
    measured = whole(given.preset, folder)
    print(json.dumps(measured), flush=True)
    alone += one_by_one(sample[half:], folder)
    print(in_words(measured, alone))


def in_words(measured: dict[str, float], alone: Sequence[Seconds]) -> str:
    """The figures of the README."""
    wall, runs = measured["sweep/seconds_wall"], int(measured["sweep/total"])
    split = {
        what: measured.get(f"sweep/seconds_{what}", 0.0)
        for what in ("apply", "measure", "load", "save", "log")
    }
    rest = wall - sum(split.values())
    shares = ", ".join(f"{what} {spent / wall:.1%}" for what, spent in split.items())
    ratios = "\n".join(
        f"{measured[kind] / runs:.2f} s ({kind}) per composition; by one `mlflow run` each {mean(each):.1f} s"
        f" (mean of {len(each)}; median {median(each):.1f}), {mean(each) / (measured[kind] / runs):.1f} times as much"
        for kind, each in (
            ("wall", [s.wall for s in alone]),
            ("processor", [s.processor for s in alone]),
        )
    )
    return (
        f"{runs} runs, {measured['sweep/applications']:.0f} applications, {wall / 60:.1f} min: {shares},"
        f" the rest {rest / wall:.1%} (bookkeeping and logging: {(split['log'] + rest) / wall:.1%})\n{ratios}"
    )


if __name__ == "__main__":
    main()
