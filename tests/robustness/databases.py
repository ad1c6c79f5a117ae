"""A PostgreSQL server is stopped under sweeps, also on Ray, and started again after some seconds.

It needs Ray and psycopg: run it with the Python of ``tests.peers.environment("ray")``.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.postgres import Server, lacking
from tests.robustness.forks import Place, fork, wait
from tests.robustness.sweeps_on_trial import CHEAP, outcome, problem_of
from tests.robustness.tally import Attempts

DEFINITION = (
    "the server of the store, and of the study's trials, is stopped at a random moment (half of the"
    " times as by a crash) and started after some seconds; the sweep waits and ends, or ends with a"
    " message and no traceback, and the same command goes on; at last every job has one FINISHED"
    " run with the hyperparameters and values of an undisturbed sweep, and nothing is RUNNING"
)
_CRITERIA = CHEAP[:2]
GRID = (
    *("grid", "--interventions", "magnitude(sparsity=[0.2, 0.4, 0.6]); rtn", "--pairs", "all"),
    *_CRITERIA,
)
STUDY = (
    *("tune", "magnitude", "--sampler", "tpe", "--trials", "12", "--objective", "sparsity:max"),
    *("--storage", "environment", *_CRITERIA),
)
ON_RAY = ("--workers", "2")
KINDS = {
    "grid": GRID,
    "study, TPE": STUDY,
    "grid on Ray": (*GRID, *ON_RAY),
    # which of the trials before have ended when one is drawn is up to the workers
    "study on Ray, random": (*("random" if word == "tpe" else word for word in STUDY), *ON_RAY),
}
SECONDS = 900.0


@dataclass(frozen=True)
class PostgresPlace(Place):
    """A place whose store is in PostgreSQL.

    Attributes:
        address: of the store's database.
        studies: of the database in which studies keep their trials.
    """

    address: str
    studies: str

    def rows(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        """Return what the store answers to queries in SQL."""
        import psycopg

        with psycopg.connect(self.address) as connection:
            return [connection.execute(query.encode()).fetchall() for query in queries]

    @property
    def variables(self) -> dict[str, str]:
        addresses = {
            "MLFLOW_TRACKING_URI": self.address,
            "COMPOSABILITY_STUDY_STORAGE": self.studies,
        }
        return super().variables | addresses


def databases(count: int, seed: int, folder: Path) -> Attempts:
    """Stop the server once under each of ``count`` sweeps."""
    attempts = Attempts("PostgreSQL stopped and started", seed, DEFINITION)
    missing = lacking() or ("" if find_spec("ray") else "needs Ray")
    if missing:
        print(f"databases: {missing}; run it with the Python of tests.peers.environment('ray')")
        return attempts
    rng, server = random.Random(seed), Server(folder / "server")
    server.start()
    try:
        place = PostgresPlace(folder, server.create("mlflow"), server.create("studies"))
        place.temporary.mkdir()
        assert wait(fork(_prepare, place.log, place.variables), 300) == 0, place.log.read_text()
        expected, lasts = {}, {}
        for number, kind in enumerate(list(KINDS)[:count]):
            began, name = time.monotonic(), f"undisturbed-{number}"
            status = _start(place, kind, name).wait(SECONDS)
            assert status == 0, _printed(place, name)[-3000:]
            expected[kind], lasts[kind] = outcome(place, name), time.monotonic() - began
            print(f"{kind}: {len(expected[kind])} jobs, {lasts[kind]:.0f} s", flush=True)
        for number in range(count):
            kind, name = list(KINDS)[number % len(KINDS)], f"round-{number}"
            moments = (rng.uniform(2, lasts[kind]), rng.uniform(0.5, 8))
            problem = _one_sweep(
                place, server, kind, name, moments, rng.choice(("fast", "immediate"))
            )
            attempts.note(kind, problem or problem_of(place, expected[kind], name))
    finally:
        server.stop()
    return attempts


def _prepare() -> int:
    from tracking import store

    store.prepare_database()
    return 0


def _start(place: PostgresPlace, kind: str, name: str) -> subprocess.Popen[bytes]:
    """Start the command as a process: Ray's workers are no forks of one that has torch."""
    # checkpoints are computed anew for each
    variables = {"COMPOSABILITY_CACHE": str(place.folder / name), "RAY_AUTH_MODE": "disabled"}
    variables["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    with (place.folder / f"log-{name}").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "composability", *KINDS[kind], "--name", name],
            env=os.environ | place.variables | variables,
            stdout=log,
            stderr=log,
        )


def _printed(place: PostgresPlace, name: str) -> str:
    return (place.folder / f"log-{name}").read_text()


def _one_sweep(
    place: PostgresPlace,
    server: Server,
    kind: str,
    name: str,
    moments: tuple[float, float],
    mode: str,
) -> str:
    """Run a sweep whose server is stopped; return what is wrong with how it ended."""
    process = _start(place, kind, name)
    time.sleep(moments[0])
    server.stop(mode)
    time.sleep(moments[1])
    server.start()
    status = _end(process)
    for _ in range(2):
        if status:
            status = _end(_start(place, kind, name))
    printed = _printed(place, name)
    if status:
        return f"the same again ended with {status}: {printed[-1500:]}"
    if "Traceback" in printed:
        return f"a traceback was printed: {printed[printed.index('Traceback') :][:3000]}"
    return ""


def _end(process: subprocess.Popen[bytes]) -> int:
    """Return how a process ends, 1 if it does not."""
    try:
        return process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return 1
