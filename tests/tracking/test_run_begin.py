"""How a run begins: where, under which name, as whose, and what is put in order before."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from interventions.lm import LM
from tracking import lifecycle, own_code, schema, store
from tracking import run as run_module
from tracking.chain import Chain
from tracking.checkpoints.store import Checkpoints
from tracking.log import Log
from tracking.own_code import track
from tracking.plan import Plan, plan_run
from tracking.run import SweepMember, carry_out, track_member
from tracking.settings import Settings

Begun = list[tuple[Log, bool]]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Begun:
    """Logs of runs that began, and whether these say their process already; no step is taken."""
    noted: Begun = []

    def take_no_step(chain: Chain, log: Log, identified: bool) -> None:
        noted.append((log, identified))

    monkeypatch.setattr(run_module, "_carry_out", take_no_step)
    return noted


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_run("magnitude | rtn", Settings(criteria="sparsity", checkpoints="none"))


def launch(monkeypatch: pytest.MonkeyPatch, experiment: str) -> str:
    """Return a run as `mlflow run` makes it for this process."""
    run = MlflowClient().create_run(store.ensure_experiment(experiment), run_name="theirs")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    return str(run.info.run_id)


def leave_dead_run(experiment: str) -> str:
    """Return a run of a process that has ended without ending it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    tags = {**lifecycle.process_tags(), schema.PID: str(ended.pid)}
    experiment_id = store.ensure_experiment(experiment)
    return str(MlflowClient().create_run(experiment_id, tags=tags).info.run_id)


def track_nothing(lm: LM, cache: Checkpoints) -> str:
    with track(lm.model, lm.tokenizer, criteria="sparsity", cache=cache) as composition:
        pass
    return composition.run_id


@pytest.mark.parametrize("way", ["own", "launched", "tracked"])
def test_a_run_ends_those_that_dead_processes_left_in_its_experiment(
    way: str,
    local_store: str,
    lm: LM,
    plan: Plan,
    checkpoints: Checkpoints,
    begun: Begun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, other = ("theirs", "named") if way == "launched" else (store.EXPERIMENT, "theirs")
    dead, elsewhere = leave_dead_run(ours), leave_dead_run(other)
    if way == "launched":
        launch(monkeypatch, ours)
    if way == "tracked":
        track_nothing(lm, checkpoints)
    else:
        carry_out(plan, "named" if way == "launched" else ours, checkpoints)
    status = [MlflowClient().get_run(run_id).info.status for run_id in (dead, elsewhere)]
    assert status == ["KILLED", "RUNNING"]


def test_a_launched_run_is_used_under_the_compositions_name_and_told_its_process(
    local_store: str,
    plan: Plan,
    checkpoints: Checkpoints,
    begun: Begun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = MlflowClient().get_run(carry_out(plan, "named", checkpoints))
    launched_id = launch(monkeypatch, "theirs")
    assert carry_out(plan, "named", checkpoints) == launched_id
    launched = MlflowClient().get_run(launched_id)
    for run in (new, launched):
        assert run.info.run_name == "magnitude(sparsity=0.5) → " + plan.composition[1].spec()
    assert schema.PID in new.data.tags and schema.PID not in launched.data.tags
    assert [(log.run_id, identified) for log, identified in begun] == [
        (new.info.run_id, True),
        (launched_id, False),
    ]
    experiments = [MlflowClient().get_experiment(log.experiment_id).name for log, _ in begun]
    assert experiments == ["named", "theirs"]


def test_a_run_of_own_code_is_told_its_process_once(
    local_store: str, lm: LM, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    log_batch = MlflowClient.log_batch

    def noted(client: MlflowClient, *about: Any, **values: Any) -> None:
        sent.extend(tag.key for tag in values["tags"])
        log_batch(client, *about, **values)

    monkeypatch.setattr(MlflowClient, "log_batch", noted)
    run_id = track_nothing(lm, checkpoints)
    assert schema.PID in MlflowClient().get_run(run_id).data.tags
    assert schema.KEY in sent and schema.PID not in sent


@pytest.mark.parametrize("is_tracked", [False, True])
def test_mlflow_itself_goes_to_the_store_of_the_run(
    is_tracked: bool,
    local_store: str,
    lm: LM,
    plan: Plan,
    checkpoints: Checkpoints,
    begun: Begun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mlflow.set_tracking_uri("sqlite:///elsewhere.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_store)
    if is_tracked:
        track_nothing(lm, checkpoints)
    else:
        carry_out(plan, store.EXPERIMENT, checkpoints)
    assert mlflow.get_tracking_uri() == local_store


def test_the_time_that_it_takes_to_begin_is_time_of_logging(
    local_store: str,
    lm: LM,
    plan: Plan,
    checkpoints: Checkpoints,
    begun: Begun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def set_clock(module: Any, first: float, second: float) -> None:
        clock = SimpleNamespace(perf_counter=iter((first, second)).__next__)
        monkeypatch.setattr(module, "time", clock)

    set_clock(run_module, 100.0, 102.5)
    carry_out(plan, store.EXPERIMENT, checkpoints)
    set_clock(run_module, 100.0, 103.25)
    member = SweepMember(store.ensure_experiment(), {schema.SWEEP: "small"})
    chain = track_member(plan, member, checkpoints)
    assert [log.seconds for log, _ in begun] == [2.5, 3.25]
    assert (chain.seconds["log"], chain.run_id) == (3.25, begun[1][0].run_id)
    set_clock(own_code, 100.0, 104.75)
    # what it sends takes no time
    at_rest = SimpleNamespace(perf_counter=lambda: 5.0, monotonic=lambda: 5.0, time=time.time)
    monkeypatch.setattr("tracking.log.time", at_rest)
    tracked = MlflowClient().get_run(track_nothing(lm, checkpoints))
    assert tracked.data.metrics[schema.SECONDS_LOG] == 4.75
