"""What a sweep may run on, as far as that can be told without Ray; with it: grid/test_on_ray.py."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from interventions.errors import InvalidInput
from interventions.masking import STUDY_STORAGE
from sweeps import cluster
from sweeps.cluster import (
    SQLITE_WORKERS,
    Resources,
    cancel_tasks,
    check_shared_folder,
    parallel_tasks,
)
from tracking.checkpoints.store import Checkpoints
from tracking.settings import Settings


@pytest.fixture
def with_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were installed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())


def test_without_ray_more_workers_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for values in (("2", "", "0"), ("1", "127.0.0.1:9", "0"), ("1", "", "0.5")):
        with pytest.raises(
            InvalidInput, match=r"need Ray: pip install 'composable-interventions\[ray\]'"
        ):
            Resources.read(*values)
    assert not Resources.read("1", "", "0").on_ray


@pytest.mark.usefixtures("with_ray")
def test_more_workers_than_sqlite_takes_are_refused_with_advice(local_store: str) -> None:
    assert SQLITE_WORKERS == 8  # as many as the slow tests start
    assert Resources.read(str(SQLITE_WORKERS), "", "0").on_ray
    with pytest.raises(
        InvalidInput, match=rf"SQLite takes {SQLITE_WORKERS} workers .* set MLFLOW_TRACKING_URI to"
    ):
        Resources.read(str(SQLITE_WORKERS + 1), "", "0")
    with pytest.raises(InvalidInput, match=r"but got workers=1 and ray_address=10\.0\.0\.1:6379"):
        Resources.read("1", "10.0.0.1:6379", "0")


@pytest.mark.usefixtures("with_ray")
def test_a_server_takes_more_workers_than_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert Resources.read(str(SQLITE_WORKERS + 1), "", "0").workers == SQLITE_WORKERS + 1


@pytest.mark.usefixtures("with_ray")
def test_a_ray_address_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    for address in ("127.0.0.1:9", "nowhere", "127.0.0.1:http"):
        with pytest.raises(InvalidInput, match=f"no Ray cluster answers at '{address}'"):
            Resources.read("2", address, "0")


def test_workers_settings_are_those_of_their_machines() -> None:
    """What a GPU that is elsewhere computes has the keys that it would have there."""
    requested = Settings()
    assert Resources().settings(requested) == requested
    assert Resources(4).settings(requested).device == "cpu"
    on_gpus = Resources(4, gpus=1).settings(requested)
    assert (on_gpus.device, on_gpus.dtype) == ("cuda", "bfloat16")
    assert Resources(4, gpus=1).settings(Settings(dtype="float32")).dtype == "float32"


def fake_ray(*nodes: dict[str, float]) -> Any:
    """Return a module that knows nodes; the last of them is dead."""
    dead = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 64.0}}
    return SimpleNamespace(
        nodes=lambda: [*({"Alive": True, "Resources": node} for node in nodes), dead]
    )


def test_as_many_tasks_run_at_once_as_are_asked_for_or_fit() -> None:
    ray = fake_ray({"CPU": 4.0, "GPU": 2.0}, {"CPU": 3.0})
    assert parallel_tasks(ray, Resources(5, "head:1")) == 5
    assert parallel_tasks(ray, Resources(1, "head:1")) == 4 + 3
    assert parallel_tasks(ray, Resources(1, "head:1", gpus=1)) == 2
    assert parallel_tasks(ray, Resources(1, "head:1", gpus=0.25)) == 4
    assert parallel_tasks(fake_ray({"CPU": 0.0}), Resources(1, "head:1")) == 1
    with pytest.raises(InvalidInput, match="gpus=3 per worker, but no node has more than 2"):
        parallel_tasks(ray, Resources(1, "head:1", gpus=3))


def test_every_running_task_is_cancelled_and_waited_for() -> None:
    cancelled: list[str] = []
    waits: list[tuple[list[str], int]] = []

    def wait(refs: list[str], num_returns: int, timeout: float) -> None:
        waits.append((refs, num_returns))

    ray = SimpleNamespace(cancel=cancelled.append, wait=wait)
    cancel_tasks(ray, ["a", "b"])
    assert cancelled == ["a", "b"] and waits == [(["a", "b"], 2)]
    cancel_tasks(ray, [])
    assert len(waits) == 1


class FolderNodes:
    """Two nodes, of which the second may not see this machine's folders."""

    def __init__(self, is_shared: bool) -> None:
        self.is_shared = is_shared
        self.util = SimpleNamespace(
            scheduling_strategies=SimpleNamespace(
                NodeAffinitySchedulingStrategy=lambda node_id, soft: node_id
            )
        )

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"Alive": True, "NodeID": name, "NodeManagerAddress": f"10.0.0.{name}"}
            for name in ("1", "2")
        ]

    def remote(self, num_cpus: int, scheduling_strategy: str) -> Callable[[Any], Any]:
        def decorate(exists: Callable[[str], bool]) -> Any:
            def call(path: str) -> bool:
                return exists(path) and (self.is_shared or scheduling_strategy == "1")

            return SimpleNamespace(remote=call)

        return decorate

    def get(self, result: bool) -> bool:
        return result


def test_a_node_that_does_not_see_the_cache_is_named(tmp_path: Path) -> None:
    cache = Checkpoints(tmp_path / "cache")
    files = set(cache.folder.iterdir())
    check_shared_folder(FolderNodes(is_shared=True), cache)
    with pytest.raises(InvalidInput, match=r"node 10\.0\.0\.2 does not see .* set COMPOSABILITY_C"):
        check_shared_folder(FolderNodes(is_shared=False), cache)
    assert set(cache.folder.iterdir()) == files


def test_ray_is_shown_a_password_only_where_a_worker_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ada:s3cret@host/runs")
    monkeypatch.setenv(STUDY_STORAGE, "postgresql://ada@host/studies")
    assert cluster._addresses(Resources(workers=2)) == {
        STUDY_STORAGE: "postgresql://ada@host/studies"
    }
    # another machine's workers have another environment
    assert "s3cret" in str(cluster._addresses(Resources(address="10.0.0.1:6379")))
