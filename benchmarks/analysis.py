"""Query and tables over many runs: `python -m benchmarks.analysis [--runs 2500,5000,10000] [--stores sqlite]`.

The runs are made up: the paper's 282 pairs, of two models, over ten edit batches and as many seeds as it takes
(`--kind replicates`), or with as many values of a hyperparameter (`--kind settings`), each with the params, metrics
and tags of our own runs. They are written into MLflow's tables directly, as 10,000 runs
through its client take half an hour. Each measurement is a process of its own: seconds of the query, of points with
their intervals, areas and wins, of Tables 2 to 4 and 8 to 14 as files, of the whole command (with figures and the
report), and peak memory of all of it.
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
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.postgres import lacking, postgres

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = "many"


def compositions(count: int, kind: str) -> Iterator[dict[str, str]]:
    """Params of made-up runs."""
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
            changed = min(
                name for name, level in row.steps if level is None
            )  # the same in both orders
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
    from mlflow.store.tracking.dbmodels import models
    from sqlalchemy.orm import Session

    from tracking import catalogue, schema, store

    experiment_id = int(store.experiment(EXPERIMENT))
    rng, about = random.Random(0), catalogue.as_tag(catalogue.CRITERIA)
    engine = sqlalchemy.create_engine(uri)
    now = int(time.time() * 1000)
    with Session(engine) as session:
        for some in _batches(compositions(count, kind), 500):
            rows: dict[Any, list[dict[str, Any]]] = {
                m: []
                for m in (
                    models.SqlRun,
                    models.SqlParam,
                    models.SqlTag,
                    models.SqlMetric,
                    models.SqlLatestMetric,
                )
            }
            for params in some:
                run_id = uuid.UUID(int=rng.getrandbits(128)).hex
                now += 1
                rows[models.SqlRun].append(
                    {
                        "run_uuid": run_id, "name": params["composition"], "experiment_id": experiment_id,
                        "status": "FINISHED", "start_time": now, "end_time": now, "lifecycle_stage": "active",
                        "artifact_uri": f"file://{folder}/{run_id}/artifacts", "source_type": "LOCAL", "user_id": "",
                        "source_name": "", "entry_point_name": "", "source_version": "",
                    }
                )  # fmt: skip
                of = {"run_uuid": run_id}
                rows[models.SqlParam] += [
                    {**of, "key": key, "value": value} for key, value in params.items()
                ]
                tags = {"mlflow.runName": params["composition"], schema.KEY: run_id, schema.ABOUT_CRITERIA: about,
                        schema.SWEEP: sweep, schema.JOB: run_id, schema.HOST: "host",
                        schema.PID: "1", schema.HEARTBEAT: "0"}  # fmt: skip
                rows[models.SqlTag] += [
                    {**of, "key": key, "value": value} for key, value in tags.items()
                ]
                values = {name: rng.random() for name in catalogue.CRITERIA}
                values |= {f"{schema.STDERR}{name}": 0.01 for name in catalogue.CRITERIA}
                values |= {
                    schema.SECONDS_APPLY: 1.0,
                    schema.SECONDS_MEASURE: 1.0,
                    schema.PEAK_MEMORY: 1.0,
                }
                metrics = [{**of, "key": key, "value": value, "timestamp": now, "step": 2, "is_nan": False}
                           for key, value in values.items()]  # fmt: skip
                rows[models.SqlMetric] += metrics
                rows[models.SqlLatestMetric] += metrics
            for model, lines in rows.items():
                session.execute(sqlalchemy.insert(model), lines)
            session.commit()
    engine.dispose()


def _batches(runs: Iterator[dict[str, str]], size: int) -> Iterator[list[dict[str, str]]]:
    while some := list(itertools.islice(runs, size)):
        yield some


def measure() -> dict[str, float]:
    """Seconds by part, in this process, and its peak memory in GiB."""
    from analysis.inference import intervals
    from analysis.labels import Labels
    from analysis.metrics import composability as co
    from analysis.metrics.align import both_orders
    from analysis.tables import layouts, table
    from tracking import query

    seconds, start = {}, time.perf_counter()

    def lap(part: str) -> None:
        nonlocal start
        seconds[part] = time.perf_counter() - start
        start = time.perf_counter()

    runs = query.compositions(EXPERIMENT)
    lap("query")
    points = intervals.intervals(runs, co.point(runs))
    co.area(points)
    views = co.cells(points)
    co.wins(views, intervals.tied(runs, points, views, co.duels(views)))
    lap("points, areas, wins")
    orders, levels = both_orders(runs), layouts.chosen_levels(points)
    at = co.point(runs, levels=levels)
    made = layouts.composed(at, Labels(orders.catalogue)) + layouts.appendix(orders, points)
    with tempfile.TemporaryDirectory() as folder:
        table.save(made, Path(folder))
    lap("tables")
    total = sum(seconds.values())
    return {"runs": len(runs), **seconds, "query to tables": total, "GiB": _peak()}


def whole() -> dict[str, float]:
    """Seconds of the command itself, and its peak memory in GiB."""
    from analysis.__main__ import main

    start = time.perf_counter()
    assert main(["--experiment", EXPERIMENT, "--items", "none"]) == 0
    return {"whole command": time.perf_counter() - start, "GiB, whole": _peak()}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _apart(part: str, uri: str) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.analysis", "--part", part]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"MLFLOW_TRACKING_URI": uri},
        check=True,
        capture_output=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


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
    given = parser.parse_args()
    if given.part:
        print(json.dumps({"measure": measure, "whole": whole}[given.part]()))
        return
    for kept_in, count in itertools.product(
        given.stores.split(","), map(int, given.runs.split(","))
    ):
        if kept_in == "postgresql" and lacking():
            sys.exit(lacking())
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            uri = (
                f"sqlite:///{folder}/mlflow.db"
                if kept_in == "sqlite"
                else stack.enter_context(postgres(folder / "pg"))
            )
            os.environ["MLFLOW_TRACKING_URI"] = uri
            fill(uri, count, given.kind, folder)
            found = {**_apart("measure", uri), **_apart("whole", uri)}
        print(
            f"{kept_in:10}  " + "  ".join(f"{name} {value:.4g}" for name, value in found.items()),
            flush=True,
        )


if __name__ == "__main__":
    main()
