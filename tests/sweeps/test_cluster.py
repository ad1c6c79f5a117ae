"""What a sweep may run on, on a stand-in for Ray; on Ray itself: grid/test_on_ray.py."""

import os
from pathlib import Path

import pytest

from interventions.cache import root
from interventions.errors import InvalidInput
from interventions.masking import STUDY_STORAGE
from sweeps import cluster
from sweeps.cluster import (
    SQLITE_WORKERS,
    Resources,
    cancel_tasks,
    check_shared_folder,
    parallel_tasks,
    ray_cluster,
)
from tests.sweeps.fake_ray import Affinity, FakeRay, node, use_fake_ray
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
        InvalidInput,
        match=r"^SQLite takes 8 workers on one machine, but got workers=9: set MLFLOW_TRACKING_URI",
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


@pytest.mark.usefixtures("with_ray")
def test_an_address_is_asked_for_five_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[tuple[tuple[str, int], float]] = []

    class Connection:
        def __init__(self, address: tuple[str, int], seconds: float) -> None:
            connections.append((address, seconds))

        def close(self) -> None:
            connections.append((("closed", 0), 0))

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setattr("socket.create_connection", Connection)
    assert Resources.read("1", "head:6379", "0") == Resources(1, "head:6379", 0.0)
    assert connections == [(("head", 6379), 5.0), (("closed", 0), 0)]


@pytest.mark.usefixtures("with_ray")
def test_without_an_address_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, local_store: str
) -> None:
    monkeypatch.setattr("socket.create_connection", None)
    assert Resources.read("2", "", "0.5") == Resources(2, "", 0.5)


@pytest.mark.usefixtures("with_ray")
def test_workers_are_from_1_to_10000_and_gpus_from_0_to_1000(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert Resources.read("10000", "", "1000") == Resources(10_000, "", 1000.0)
    for workers, gpus in (
        *(("0", "0"), ("-1", "0"), ("10001", "0"), ("many", "0"), ("2", "all"), ("2.5", "0")),
        *(("1", "-0.5"), ("1", "1000.5"), ("1", "nan"), ("1", "inf")),
    ):
        with pytest.raises(InvalidInput) as refused:
            Resources.read(workers, "", gpus)
        assert str(refused.value) == (
            f"workers must be at least 1 and gpus at least 0, but got {workers!r} and {gpus!r};"
            " at most 10000 and 1000 are possible"
        )


def test_resources_are_a_value_and_by_default_this_process() -> None:
    assert {Resources(2), Resources(2)} == {Resources(2)}
    assert Resources() == Resources(1, "", 0.0) and not Resources().on_ray


def test_workers_settings_are_those_of_their_machines() -> None:
    """What a GPU that is elsewhere computes has the keys that it would have there."""
    requested = Settings()
    assert Resources().settings(requested) == requested
    assert Resources(4).settings(requested).device == "cpu"
    on_gpus = Resources(4, gpus=1).settings(requested)
    assert (on_gpus.device, on_gpus.dtype) == ("cuda", "bfloat16")
    assert Resources(4, gpus=1).settings(Settings(dtype="float32")).dtype == "float32"


def fake_ray(*nodes: dict[str, float]) -> FakeRay:
    """Return a module that knows nodes; the last of them is dead."""
    dead = node("dead", is_alive=False, CPU=64.0, GPU=64.0)
    return FakeRay(*({**node("1"), "Resources": resources} for resources in nodes), dead)


def test_as_many_tasks_run_at_once_as_are_asked_for_or_fit() -> None:
    ray = fake_ray({"CPU": 4.0, "GPU": 2.0}, {"CPU": 3.0})
    assert parallel_tasks(ray, Resources(5, "head:1")) == 5
    assert parallel_tasks(ray, Resources(1, "head:1")) == 4 + 3
    assert parallel_tasks(ray, Resources(1, "head:1", gpus=1)) == 2
    assert parallel_tasks(ray, Resources(1, "head:1", gpus=0.25)) == 4
    assert parallel_tasks(fake_ray({"CPU": 0.0}), Resources(1, "head:1")) == 1
    with pytest.raises(InvalidInput, match="gpus=3 per worker, but no node has more than 2"):
        parallel_tasks(ray, Resources(1, "head:1", gpus=3))


def test_all_gpus_of_a_node_may_be_asked_for_but_none_where_there_is_none() -> None:
    ray = fake_ray({"CPU": 4.0, "GPU": 2.0}, {"CPU": 3.0})
    assert parallel_tasks(ray, Resources(1, "head:1", gpus=2)) == 1
    with pytest.raises(InvalidInput, match=r"gpus=0\.5 per worker, but no node has more than 0$"):
        parallel_tasks(fake_ray({"CPU": 4.0}, {"CPU": 3.0}), Resources(2, gpus=0.5))


def test_two_workers_are_two_on_any_cluster_and_a_node_without_processors_runs_no_task() -> None:
    ray = fake_ray({"GPU": 2.0}, {"CPU": 3.0})
    assert parallel_tasks(ray, Resources(2)) == 2
    assert parallel_tasks(ray, Resources(1, "head:1")) == 3
    assert parallel_tasks(ray, Resources(1, "head:1", gpus=1)) == 1


def test_every_running_task_is_cancelled_and_waited_for_five_seconds_at_most() -> None:
    ray = FakeRay()
    cancel_tasks(ray, [7, 9])
    assert ray.cancelled == [7, 9] and ray.events == ["cancel", "cancel", "wait"]
    assert ray.most_running == 2 and ray.timeouts == [5.0]
    cancel_tasks(ray, [])
    assert len(ray.events) == 3


def test_a_node_that_does_not_see_the_cache_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each living node is asked, by a task that runs there or not at all and needs no processor."""
    cache = Checkpoints(tmp_path / "cache")
    files = set(cache.folder.iterdir())
    asked: list[Affinity] = []

    def exists(path: str) -> bool:
        asked.append(ray.task_options["exists"].pop("scheduling_strategy"))
        return Path(path).is_file() and asked[-1].node_id != blind

    ray, blind = FakeRay(node("1"), node("2"), node("3", is_alive=False), node("4")), ""
    monkeypatch.setattr("os.path.exists", exists)
    check_shared_folder(ray, cache)
    assert asked == [Affinity(name, soft=False) for name in ("1", "2", "4")]
    assert ray.task_options == {"exists": {"num_cpus": 0}}
    assert set(cache.folder.iterdir()) == files
    blind = "2"
    with pytest.raises(InvalidInput, match=r"node 10\.0\.0\.2 does not see .* set COMPOSABILITY_C"):
        check_shared_folder(ray, cache)
    assert [affinity.node_id for affinity in asked[3:]] == ["1", "2"]
    assert set(cache.folder.iterdir()) == files


def test_a_single_node_is_not_asked_for_its_own_folder(tmp_path: Path) -> None:
    ray = FakeRay(node("1"), node("2", is_alive=False))
    check_shared_folder(ray, Checkpoints(tmp_path / "cache"))
    assert not ray.submitted


@pytest.fixture
def fake_module(monkeypatch: pytest.MonkeyPatch, local_store: str) -> FakeRay:
    """What ``import ray`` gives; the store and the environment are the test's own."""
    monkeypatch.delenv(STUDY_STORAGE, raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return use_fake_ray(monkeypatch)


def test_ray_is_started_with_a_processor_for_each_worker(
    fake_module: FakeRay, tmp_path: Path, local_store: str
) -> None:
    cache = Checkpoints(tmp_path / "cache")
    with ray_cluster(Resources(3), cache) as ray:
        assert ray is fake_module and fake_module.events == ["init"]
    assert fake_module.events == ["init", "shutdown"]
    variables = {
        "MLFLOW_TRACKING_URI": local_store,
        "COMPOSABILITY_CACHE": str(cache.folder),
        "PYTHONPATH": str(root()),
        "TQDM_DISABLE": "1",
    }
    assert fake_module.init_options == {
        "runtime_env": {"env_vars": variables},
        "log_to_driver": False,
        "logging_level": "ERROR",
        "num_cpus": 3,
        "include_dashboard": False,
    }


def test_a_cluster_is_joined_by_its_address_with_the_processors_that_it_has(
    fake_module: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    with ray_cluster(Resources(3, "10.0.0.1:6379"), Checkpoints(tmp_path / "cache")):
        pass
    variables = fake_module.init_options.pop("runtime_env")["env_vars"]
    assert variables["PYTHONPATH"] == f"{root()}{os.pathsep}/mine"
    assert fake_module.init_options == {
        "log_to_driver": False,
        "logging_level": "ERROR",
        "address": "10.0.0.1:6379",
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("mine")])
def test_the_cluster_is_left_however_the_sweep_ends(
    fake_module: FakeRay, tmp_path: Path, error: BaseException
) -> None:
    with (
        pytest.raises(type(error)) as raised,
        ray_cluster(Resources(2), Checkpoints(tmp_path / "cache")),
    ):
        raise error
    assert raised.value is error and fake_module.events == ["init", "shutdown"]


@pytest.mark.parametrize("kind", [ConnectionError, RuntimeError, ValueError])
def test_a_ray_that_does_not_start_is_one_line_without_a_password(
    fake_module: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def init(**options: object) -> None:
        raise kind("no head\nat redis://ada:s3cret@head:1")

    monkeypatch.setattr(fake_module, "init", init)
    with (
        pytest.raises(InvalidInput, match=r"^Ray does not start: no head at redis://") as refused,
        ray_cluster(Resources(2), Checkpoints(tmp_path / "cache")),
    ):
        raise AssertionError("the sweep must not begin")
    assert "s3cret" not in str(refused.value) and fake_module.events == []


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
