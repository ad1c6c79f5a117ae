"""Time queries and tables over many runs: `python -m benchmarks.analysis`.

The runs are made up: the paper's 282 pairs, of two models, over ten edit batches and as many seeds
as it takes (`--kind replicates`), or with as many values of a hyperparameter (`--kind settings`),
each with the params, metrics and tags of our own runs. They are written into MLflow's tables
directly, as 10,000 runs through its client take half an hour. Each measurement is a process of its
own: seconds of the query, of points with their intervals, areas and wins, of Tables 2 to 4 and 8 to
14 as files, of the whole command (with figures and the report), and its peak memory. Many figures
are drawn by another process, whose memory is not in it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.postgres import lacking, postgres

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = "many"


def compositions(count: int, kind: str) -> Iterator[dict[str, str]]:
    """Yield the params of made-up runs."""
    from tracking import published

    pairs = [row for row in published.rows() if len(row.steps) == 2]
    seeds = range(-(-count // (10 * 2 * len(pairs))))
    order = itertools.product(seeds, range(10), ("one", "other"), pairs)
    for seed, batch, model, row in itertools.islice(order, count):
        settings = {
            "model": model,
            "data": "made up",
            "seed": str(seed),
            "edit_batch": str(batch),
            "dtype": "float32",
        }
        if kind == "settings":
            # the first by name, so that it is the same in both orders
            changed = min(name for name, level in row.steps if level is None)
            settings |= {
                "seed": "0",
                "edit_batch": "0",
                f"{changed}.changed": str(10 * seed + batch),
            }
        yield {
            **row.params(),
            **settings,
            "device": "cpu",
            "recompress": "auto",
            "checkpoints": "none",
        }


def fill(uri: str, count: int, kind: str, folder: Path, sweep: str = "") -> None:
    """Write the runs into the store's tables, as the jobs of a sweep where one is named."""
    import sqlalchemy
    from sqlalchemy.orm import Session

    from tracking import store

    experiment_id = int(store.ensure_experiment(EXPERIMENT))
    rng = random.Random(0)
    engine = sqlalchemy.create_engine(uri)
    now = int(time.time() * 1000)
    runs = compositions(count, kind)
    with Session(engine) as session:
        while batch := list(itertools.islice(runs, 500)):
            rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
            for params in batch:
                now += 1
                for model, lines in _rows(params, experiment_id, folder, sweep, now, rng).items():
                    rows[model] += lines
            for model, lines in rows.items():
                session.execute(sqlalchemy.insert(model), lines)
            session.commit()
    engine.dispose()


def _rows(
    params: dict[str, str],
    experiment_id: int,
    folder: Path,
    sweep: str,
    now: int,
    rng: random.Random,
) -> dict[Any, list[dict[str, Any]]]:
    """Return the lines of one run, by the store's table."""
    from mlflow.store.tracking.dbmodels import models

    from tracking import catalogue, schema

    run_id = uuid.UUID(int=rng.getrandbits(128)).hex
    run = {
        "run_uuid": run_id,
        "name": params["composition"],
        "experiment_id": experiment_id,
        "status": "FINISHED",
        "start_time": now,
        "end_time": now,
        "lifecycle_stage": "active",
        "artifact_uri": f"file://{folder}/{run_id}/artifacts",
        "source_type": "LOCAL",
        "source_name": "",
        "source_version": "",
        "entry_point_name": "",
        "user_id": "",
    }
    criteria = catalogue.house_criteria()
    tags = {
        "mlflow.runName": params["composition"],
        schema.KEY: run_id,
        schema.ABOUT_CRITERIA: catalogue.as_tag(criteria),
        schema.SWEEP: sweep,
        schema.JOB: run_id,
        schema.HOST: "host",
        schema.PID: "1",
        schema.HEARTBEAT: "0",
    }
    values = {name: rng.random() for name in criteria}
    values |= {f"{schema.STDERR}{name}": 0.01 for name in criteria}
    costs = (schema.SECONDS_APPLY, schema.SECONDS_MEASURE, schema.PEAK_MEMORY)
    values |= dict.fromkeys(costs, 1.0)
    measured = {"run_uuid": run_id, "timestamp": now, "step": 2, "is_nan": False}
    metrics = [{**measured, "key": key, "value": value} for key, value in values.items()]
    return {
        models.SqlRun: [run],
        models.SqlParam: [{"run_uuid": run_id, "key": k, "value": v} for k, v in params.items()],
        models.SqlTag: [{"run_uuid": run_id, "key": k, "value": v} for k, v in tags.items()],
        models.SqlMetric: metrics,
        models.SqlLatestMetric: metrics,
    }


def measure() -> dict[str, float]:
    """Return seconds by part, in this process, and its peak memory in GiB."""
    from analysis.inference.intervals import intervals
    from analysis.inference.ties import tied
    from analysis.labels import Labels
    from analysis.metrics.align import both_orders
    from analysis.metrics.composability import area, cells, duels, point, wins
    from analysis.metrics.levels import chosen_levels
    from analysis.tables.appendix import appendix_tables
    from analysis.tables.composed import composed_tables
    from analysis.tables.table import save_tables
    from tracking import query

    seconds, start = {}, time.perf_counter()

    def lap(part: str) -> None:
        nonlocal start
        seconds[part] = time.perf_counter() - start
        start = time.perf_counter()

    runs = query.compositions(EXPERIMENT)
    lap("query")
    points = intervals(runs, point(runs))
    area(points)
    views = cells(points)
    wins(views, tied(runs, points, views, duels(views)))
    lap("points, areas, wins")
    orders = both_orders(runs)
    shown = point(runs, levels=chosen_levels(points, orders.catalogue))
    tables = composed_tables(shown, Labels(orders.catalogue)) + appendix_tables(orders, points)
    with tempfile.TemporaryDirectory() as folder:
        save_tables(tables, Path(folder))
    lap("tables")
    total = sum(seconds.values())
    return {"runs": len(runs), **seconds, "query to tables": total, "GiB": _peak()}


def whole() -> dict[str, float]:
    """Return seconds of the command itself, and its peak memory in GiB."""
    from composability.command import main

    start = time.perf_counter()
    assert main(["analyze", "--experiment", EXPERIMENT, "--items", "none"]) == 0
    return {"whole command": time.perf_counter() - start, "GiB, whole": _peak()}


def _peak() -> float:
    """Return the peak of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _apart(part: str, uri: str) -> dict[str, float]:
    """Measure a part in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.analysis", "--part", part]
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri}
    ended = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    seconds: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", default="2500,5000,10000")
    parser.add_argument("--stores", default="sqlite,postgresql")
    parser.add_argument("--kind", choices=["replicates", "settings"], default="replicates")
    parser.add_argument(
        "--part", choices=["", "measure", "whole"], default="", help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps({"measure": measure, "whole": whole}[arguments.part]()))
        return
    counts = map(int, arguments.runs.split(","))
    for kind, count in itertools.product(arguments.stores.split(","), counts):
        if kind == "postgresql" and lacking():
            sys.exit(lacking())
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            uri = f"sqlite:///{folder}/mlflow.db"
            if kind == "postgresql":
                uri = stack.enter_context(postgres(folder / "pg"))
            os.environ["MLFLOW_TRACKING_URI"] = uri
            fill(uri, count, arguments.kind, folder)
            measured = {**_apart("measure", uri), **_apart("whole", uri)}
        parts = "  ".join(f"{name} {value:.4g}" for name, value in measured.items())
        print(f"{kind:10}  {parts}", flush=True)


if __name__ == "__main__":
    main()
