"""A grid on Ray, in an environment that has it; only in the slow suite."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.postgres import lacking, postgres
from benchmarks.server import server
from sweeps.cluster import SQLITE_WORKERS
from tests.peers import environment
from tests.sweeps.grid.processes import ROOT, RUNS, ended, finished, start, statuses


@pytest.fixture(scope="module")
def python() -> Path:
    """Of an environment with Ray, made in minutes at the first use."""
    return environment("ray")


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/mlflow.db"


STORES = {"sqlite": sqlite, "postgres": postgres, "server": server}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count"), [("sqlite", SQLITE_WORKERS), ("postgres", 8), ("server", 8)]
)
def test_workers_at_once_lose_and_double_nothing(
    python: Path, tmp_path: Path, kind: str, count: int
) -> None:
    if kind == "postgres" and lacking():
        pytest.skip(lacking())
    with STORES[kind](tmp_path / "store") as uri:
        status, output = ended(
            start(
                uri,
                tmp_path / "cache",
                "--workers",
                str(count),
                "--edit_batches",
                "2",
                python=python,
            )
        )
        assert status == 0, output
        run_statuses = statuses(uri)
        assert len(run_statuses) == RUNS and all(
            job == ["FINISHED"] * 2 for job in run_statuses.values()
        )
        assert f"mine: {2 * RUNS} runs finished" in output
        # once for both batches, without an edit: Wanda (2), GA, each after the other (4), Wanda
        # again after GA (2); once for each batch, with one: FT, before each other (3), after each
        # (3), Wanda again (2)
        assert f"{9 + 2 * 9} applications" in output


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(python: Path, tmp_path: Path) -> None:
    with sqlite(tmp_path) as uri:
        process = start(uri, tmp_path / "cache", "--workers", "2", python=python)
        deadline = time.monotonic() + 900
        while process.poll() is None and finished(uri) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        victims = subprocess.run(
            ["pgrep", "-f", "ray::_run_(job|prefix)"], capture_output=True, text=True
        ).stdout.split()
        assert victims
        os.kill(int(victims[0]), 9)
        status, output = ended(process)
        assert status == 0, output
        assert statuses(uri) == {composition: ["FINISHED"] for composition in statuses(uri)}
        assert len(statuses(uri)) == RUNS


@pytest.mark.slow
def test_a_merge_whose_branches_start_from_one_base_runs_on_workers(
    python: Path, tmp_path: Path
) -> None:
    merge = "merge(ft(steps=1), ga(samples=4), how='ties')"
    wanda = "wanda(sparsity=0.5, samples=4)"
    words = ["--workers", "2", "--interventions", f"{merge}; {wanda}", "--length", "2"]
    with sqlite(tmp_path) as uri:
        status, output = ended(start(uri, tmp_path / "cache", *words, python=python))
        assert status == 0, output
        orders = {f"{merge} | {wanda}", f"{wanda} | {merge}"}
        assert statuses(uri) == {composition: ["FINISHED"] for composition in orders}


@pytest.mark.slow
def test_ctrl_c_leaves_no_run_running_and_the_same_again_finishes(
    python: Path, tmp_path: Path
) -> None:
    with sqlite(tmp_path) as uri:
        process = start(uri, tmp_path / "cache", "--workers", "2", python=python)
        while process.poll() is None and finished(uri) < 2:
            time.sleep(0.5)
        process.send_signal(2)
        status, output = ended(process, 120)
        assert status == 130, output
        assert "RUNNING" not in json.dumps(statuses(uri))
        status, output = ended(start(uri, tmp_path / "cache", "--workers", "2", python=python))
        assert status == 0, output
        assert len(statuses(uri)) == RUNS and all(
            job == ["FINISHED"] for job in statuses(uri).values()
        )


@pytest.mark.slow
def test_gpus_that_no_node_has_are_refused(python: Path, tmp_path: Path) -> None:
    with sqlite(tmp_path) as uri:
        status, output = ended(
            start(uri, tmp_path / "cache", "--workers", "2", "--gpus", "64", python=python)
        )
        assert status == 2, output
        assert "gpus=64 per worker, but no node has more than 0" in output
        assert statuses(uri) == {}


@pytest.mark.slow
def test_a_cluster_is_used_by_its_address(python: Path, tmp_path: Path) -> None:
    """A head node started by Ray's own command, a server for a store."""
    ray = python.with_name("ray")
    temporary = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets have short paths
    head = [
        str(ray),
        "start",
        "--head",
        "--port=6391",
        "--num-cpus=2",
        "--disable-usage-stats",
        f"--temp-dir={temporary}",
    ]
    open_ = {"RAY_AUTH_MODE": "disabled"}  # else by a token in the home folder, if there is one
    subprocess.run(
        head, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)} | open_
    )
    try:
        with server(tmp_path / "store") as uri:
            status, output = ended(
                start(
                    uri,
                    tmp_path / "cache",
                    "--ray_address",
                    "127.0.0.1:6391",
                    python=python,
                    **open_,
                )
            )
            assert status == 0, output
            assert len(statuses(uri)) == RUNS and all(
                job == ["FINISHED"] for job in statuses(uri).values()
            )
    finally:
        subprocess.run([str(ray), "stop", "--force"], capture_output=True)
