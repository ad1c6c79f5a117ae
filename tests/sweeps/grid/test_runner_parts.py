"""What a grid's process locks, counts, says and logs, without applying an intervention."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from interventions.errors import InvalidInput
from sweeps.failures import Incomplete
from sweeps.grid import runner
from sweeps.grid.jobs import Job
from sweeps.grid.runner import GridResult
from sweeps.grid.spec import CompositionGrid
from sweeps.retry import StoreAway
from tracking.checkpoints.store import Checkpoints

# the job's name -> keys of the checkpoints it passes, its last one last
KEYS = {
    "base": ["k0"],
    "ft": ["k0", "k1"],
    "ga": ["k0", "k2"],
    "ft → ga": ["k0", "k1", "k3"],
    "rtn": ["k0", "k4"],
}
FINISHED_RUNS = pd.DataFrame({"run_id": ["r1", "r2"], "mmlu": [0.25, 0.5]})


class Parent:
    """A parent run of a store that is not there, in which the job of the base model is finished.

    Attributes:
        events: what happened to runs and checkpoints, in order.
        metrics: those logged last.
        table: the text of the file that was logged.
    """

    name = "mine"
    experiment_id = "experiment"

    def __init__(self, *arguments: object) -> None:
        self.client = self  # the part of MLflow's client that logs
        self.events: list[object] = []
        self.metrics: dict[str, float] = {}
        self.table = ""

    def open_run(self, params: dict[str, str]) -> str:
        return "parent"

    def settle_runs(self, all_ended: bool = False) -> dict[str, str]:
        self.events.append("settle ended" if all_ended else "settle")
        return {"base": "r0"}

    def log_batch(self, run_id: str, metrics: list[Any]) -> None:
        self.metrics = {metric.key: metric.value for metric in metrics}

    def log_artifact(self, run_id: str, path: str) -> None:
        assert Path(path).name == "compositions.csv"
        self.table = Path(path).read_text()


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Parent:
    """Let jobs end at once, and put a recorder in the place of the store and the checkpoints."""
    stand_in = Parent()

    def track_member(plan: Any, member: object, checkpoints: object) -> object:
        stand_in.events.append(f"run {plan.name}")
        if plan.name == "ga":
            raise ValueError("out of\nluck")
        failures = {2: {"mmlu": "too large", "wmdp": "no items"}} if plan.name == "ft → ga" else {}
        return SimpleNamespace(seconds={"apply": 0.5}, steps_applied=2, failures=failures)

    seconds = iter((100.0, 107.5))
    monkeypatch.setattr(runner, "track_member", track_member)
    monkeypatch.setattr(runner, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    monkeypatch.setattr(
        runner, "query", SimpleNamespace(compositions=lambda experiment, where: FINISHED_RUNS)
    )
    return stand_in


def job(name: str) -> Job:
    keys = KEYS[name]
    plan = SimpleNamespace(keys=keys, name=name, requested="settings", composition=f"{name}?")
    return cast(Job, SimpleNamespace(id=name, name=name, keys=keys, prefixes=keys[:-1], plan=plan))


def run_missing(parent: Parent, *names: str, on_ray: bool = False) -> GridResult:
    grid = SimpleNamespace(
        name="mine",
        experiment="house",
        jobs=[job(name) for name in names],
        resources=SimpleNamespace(on_ray=on_ray),
    )
    checkpoints = SimpleNamespace(
        pin=lambda keys: parent.events.append(("pin", *keys)),
        unpin=lambda keys: parent.events.append(("unpin", *keys)),
    )
    return runner._run_missing(
        cast(CompositionGrid, grid), cast(Any, parent), "parent", cast(Checkpoints, checkpoints)
    )


def test_what_is_missing_is_run_and_the_result_is_what_the_jobs_took(parent: Parent) -> None:
    result = run_missing(parent, "base", "ft")
    assert result == GridResult("mine", "parent", 2, 1, 2, 7.5, {"apply": 0.5})
    assert parent.events == [
        "settle",
        ("pin", "k0"),
        "run ft",
        ("unpin", "k0", "k1"),
        "settle ended",
    ]
    assert parent.metrics == {
        "sweep/total": 2.0,
        "sweep/done": 2.0,
        "sweep/failed": 0.0,
        "sweep/applications": 2.0,
        "sweep/seconds_apply": 0.5,
        "sweep/seconds_wall": 7.5,
    }
    assert parent.table == "run_id,mmlu\nr1,0.25\nr2,0.5\n"


def test_checkpoints_are_pinned_while_a_later_job_passes_them(parent: Parent) -> None:
    with pytest.raises(Incomplete):
        run_missing(parent, "ft", "ft → ga", "ga")
    assert parent.events == [
        "settle",
        *(("pin", "k0", "k1"), "run ft", ("unpin",)),
        *(("pin", "k0", "k1"), "run ft → ga", ("unpin", "k1", "k3")),
        *(("pin", "k0"), "run ga", ("unpin", "k0", "k2")),
        "settle ended",
    ]


def test_jobs_that_fail_are_said_with_their_reasons_after_all_is_logged(parent: Parent) -> None:
    with pytest.raises(Incomplete) as error:
        run_missing(parent, "base", "ft", "ga", "ft → ga")
    assert str(error.value) == (
        "2 of 4 failed; the same command tries them again"
        "\n  ga: out of luck"
        "\n  ft → ga: criterion mmlu failed after step 2: too large;"
        " criterion wmdp failed after step 2: no items"
    )
    assert (parent.metrics["sweep/done"], parent.metrics["sweep/failed"]) == (2, 2)
    assert parent.metrics["sweep/applications"] == 4 and parent.table


def test_a_grid_ends_when_the_store_stays_away(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def track_member(*arguments: object) -> None:
        parent.events.append("run")
        raise StoreAway("gone")

    monkeypatch.setattr(runner, "track_member", track_member)
    with pytest.raises(StoreAway, match="gone"):
        run_missing(parent, "ft", "ga")
    assert parent.events == ["settle", ("pin", "k0"), "run"]


def test_what_is_missing_goes_to_ray_where_workers_are_asked_for(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_on_ray(resources: Any, jobs: list[Job], progress: Any, checkpoints: object) -> None:
        parent.events.append([missing.name for missing in jobs])
        progress.add_cost({"load": 2.0}, 3)

    monkeypatch.setattr(runner, "run_jobs_on_ray", run_on_ray)
    result = run_missing(parent, "ft", "base", "ga", on_ray=True)
    assert result == GridResult("mine", "parent", 3, 1, 3, 7.5, {"load": 2.0})
    assert parent.events == ["settle", ["ft", "ga"], "settle ended"]


def test_what_an_earlier_call_finished_is_not_of_this_one() -> None:
    assert GridResult("mine", "parent", 7, 3, 0, 1.0, {}).finished_now == 4


def test_a_grid_is_refused_in_a_store_where_it_is_running(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = Checkpoints(tmp_path)
    (tmp_path / "locks").mkdir(exist_ok=True)
    addresses: list[str] = []

    @contextlib.contextmanager
    def closing_run(client: object, run_id: str) -> Iterator[None]:
        yield

    def start(name: str) -> Any:
        grid = SimpleNamespace(name=name, experiment="house", params={})
        return runner.run_grid(cast(CompositionGrid, grid), cache)

    def run_again(
        grid: CompositionGrid, parent: Parent, run_id: str, checkpoints: Checkpoints
    ) -> str:
        assert run_id == "parent" and checkpoints is cache
        if grid.name == "other":
            return "ran"
        with pytest.raises(InvalidInput) as error:
            start("mine")
        assert start("other") == "ran"
        return str(error.value)

    monkeypatch.setattr(runner, "mlflow", SimpleNamespace(set_tracking_uri=addresses.append))
    monkeypatch.setattr(runner, "ParentRun", Parent)
    monkeypatch.setattr(runner, "lifecycle", SimpleNamespace(closing_run=closing_run))
    monkeypatch.setattr(
        runner,
        "store",
        SimpleNamespace(uri=lambda: "sqlite:///a.db", client=str, ensure_experiment=str),
    )
    monkeypatch.setattr(runner, "_run_missing", run_again)
    assert start("mine") == (
        "'mine' is being run on this machine: wait for it or end it, or give this one another name"
    )
    assert addresses == ["sqlite:///a.db"] * 3
