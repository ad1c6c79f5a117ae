"""A grid on Ray: what can be told without it, here; with it, in an environment that has it, in the slow suite."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.postgres import lacking, postgres
from benchmarks.server import server
from interventions.errors import InvalidInput
from sweeps.grid.jobs import PrefixUse
from sweeps.grid.ray_runner import SQLITE_WORKERS, Resources, Task, tasks
from sweeps.grid.runner import CompositionGrid
from tests.peers import environment
from tests.sweeps.processes import ROOT, RUNS, TEXT, ended, finished, start, statuses
from tracking.settings import Settings


def test_what_is_shared_is_one_task_and_nothing_starts_before_what_it_goes_on_from(
    grid: Callable[..., CompositionGrid],
) -> None:
    """Shared: the base model and four first steps."""
    todo = grid(TEXT).jobs
    waiting, reached, order = tasks(todo, PrefixUse(todo)), set[str](), list[Task]()
    shared = [task.key for task in waiting if task.key]
    assert len(shared) == len(set(shared)) == 1 + 4
    assert len(waiting) == 1 + 4 + len(todo)
    while waiting:
        task = next(task for task in waiting if task.after <= reached)  # no circle
        waiting.remove(task)
        order.append(task)
        reached |= {task.key} if task.key else set()
    assert order[0].key == todo[0].plan.keys[0] and order[0].after == frozenset()
    assert all(
        task.after == set(task.job.plan.keys) & set(shared) for task in order if task.key is None
    )


@pytest.fixture
def with_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were installed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())


def test_without_ray_more_workers_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for given in (("2", "", "0"), ("1", "127.0.0.1:9", "0"), ("1", "", "0.5")):
        with pytest.raises(
            InvalidInput, match=r"need Ray: pip install 'composable-interventions\[ray\]'"
        ):
            Resources.read(*given)
    assert not Resources.read("1", "", "0").on_ray


@pytest.mark.usefixtures("with_ray")
def test_more_workers_than_sqlite_takes_are_refused_with_advice(local_store: str) -> None:
    assert Resources.read(str(SQLITE_WORKERS), "", "0").on_ray
    with pytest.raises(
        InvalidInput, match=rf"SQLite takes {SQLITE_WORKERS} workers .* set MLFLOW_TRACKING_URI to"
    ):
        Resources.read(str(SQLITE_WORKERS + 1), "", "0")
    with pytest.raises(InvalidInput, match=r"but got workers=1 and ray_address=10\.0\.0\.1:6379"):
        Resources.read("1", "10.0.0.1:6379", "0")


@pytest.mark.usefixtures("with_ray")
def test_a_ray_address_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    for address in ("127.0.0.1:9", "nowhere", "127.0.0.1:http"):
        with pytest.raises(InvalidInput, match=f"no Ray cluster answers at '{address}'"):
            Resources.read("2", address, "0")


def test_workers_settings_are_those_of_their_machines() -> None:
    """What a GPU that is elsewhere computes has the keys that it would have there."""
    asked = Settings()
    assert Resources().settings(asked) == asked
    assert Resources(4).settings(asked).device == "cpu"
    there = Resources(4, gpus=1).settings(asked)
    assert (there.device, there.dtype) == ("cuda", "bfloat16")


# with Ray


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
        status, said = ended(
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
        assert status == 0, said
        found = statuses(uri)
        assert len(found) == RUNS and all(each == ["FINISHED"] * 2 for each in found.values())
        assert f"mine: {2 * RUNS} runs finished" in said
        # without an edit once for both batches: Wanda (2), GA, one after the other (4), Wanda again after GA (2); with
        # one once for each: FT, before the others (3), after them (3), Wanda again (2)
        assert f"{9 + 2 * 9} applications" in said


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(python: Path, tmp_path: Path) -> None:
    with sqlite(tmp_path) as uri:
        process = start(uri, tmp_path / "cache", "--workers", "2", python=python)
        deadline = time.monotonic() + 300
        while process.poll() is None and finished(uri) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        victims = subprocess.run(
            ["pgrep", "-f", "ray::_(job|prefix)"], capture_output=True, text=True
        ).stdout.split()
        assert victims
        os.kill(int(victims[0]), 9)
        status, said = ended(process)
        assert status == 0, said
        assert statuses(uri) == {composition: ["FINISHED"] for composition in statuses(uri)}
        assert len(statuses(uri)) == RUNS


@pytest.mark.slow
def test_ctrl_c_leaves_no_run_running_and_the_same_again_finishes(
    python: Path, tmp_path: Path
) -> None:
    with sqlite(tmp_path) as uri:
        process = start(uri, tmp_path / "cache", "--workers", "2", python=python)
        while process.poll() is None and finished(uri) < 2:
            time.sleep(0.5)
        process.send_signal(2)
        status, said = ended(process, 120)
        assert status == 130, said
        assert "RUNNING" not in json.dumps(statuses(uri))
        status, said = ended(start(uri, tmp_path / "cache", "--workers", "2", python=python))
        assert status == 0, said
        assert len(statuses(uri)) == RUNS and all(
            each == ["FINISHED"] for each in statuses(uri).values()
        )


@pytest.mark.slow
def test_gpus_that_no_node_has_are_refused(python: Path, tmp_path: Path) -> None:
    with sqlite(tmp_path) as uri:
        status, said = ended(
            start(uri, tmp_path / "cache", "--workers", "2", "--gpus", "64", python=python)
        )
        assert status == 2, said
        assert "gpus=64 per worker, but no node has more than 0" in said
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
            status, said = ended(
                start(
                    uri,
                    tmp_path / "cache",
                    "--ray_address",
                    "127.0.0.1:6391",
                    python=python,
                    **open_,
                )
            )
            assert status == 0, said
            assert len(statuses(uri)) == RUNS and all(
                each == ["FINISHED"] for each in statuses(uri).values()
            )
    finally:
        subprocess.run([str(ray), "stop", "--force"], capture_output=True)
