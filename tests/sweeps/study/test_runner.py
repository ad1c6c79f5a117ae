"""A study in one process: nothing twice, nothing lost, and it goes on where it was."""

from collections import Counter
from typing import Any

import pytest
from mlflow import MlflowClient
from optuna.trial import Trial

from analysis.metrics.settings import settings_of
from interventions.base import Intervention
from sweeps.failures import Incomplete
from sweeps.study import record
from sweeps.study.attributes import RUNS
from sweeps.study.runner import run_study
from tests.sweeps.study.conftest import Applied
from tests.sweeps.study.small_study import (
    RATES,
    SPEC,
    final_runs,
    parent_run,
    study_runs,
    study_spec,
    trial_runs,
)
from tracking import lifecycle, query, schema, store
from tracking.catalogue import Catalogue
from tracking.checkpoints.store import Checkpoints

pytestmark = pytest.mark.usefixtures("four_rates")


def test_every_point_is_one_run_under_one_parent_and_the_chosen_one_is_measured_on_test_data_once(
    cache: Checkpoints,
) -> None:
    outcome = run_study(study_spec(), cache)
    trials = trial_runs()
    assert len(trials) == 4 and {float(run.data.params["ga.lr"]) for run in trials} == set(RATES)
    assert {run.data.tags[schema.TRIAL] for run in trials} == set("0123")
    parent = parent_run()
    assert parent.info.run_id == outcome.parent_id
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "mine")
    assert {run.data.tags[schema.PARENT] for run in study_runs()} == {outcome.parent_id}
    (tested,) = final_runs()
    spec = outcome.conclusion.spec
    assert tested.data.params["composition"] == spec == parent.data.tags[record.TUNED]
    (best,) = (run for run in trials if run.data.tags.get(schema.BEST) == "true")
    localities = [run.data.metrics["edit_locality"] for run in trials]
    assert best.data.metrics["edit_locality"] == max(localities)
    chosen = study_runs(f" and tags.`{schema.CHOSEN}` = 'true'")
    assert {run.info.run_id for run in chosen} == {best.info.run_id, tested.info.run_id}
    again = run_study(study_spec(), cache)
    assert again.ended_before == 4 and len(study_runs()) == 5
    assert again.conclusion.test_runs == (tested.info.run_id,)


def test_trials_are_read_by_the_query_like_any_composition_and_apart_from_tests(
    cache: Checkpoints,
) -> None:
    run_study(study_spec(), cache)
    frame = query.compositions(filter=f"tags.`{schema.SWEEP}` = 'mine'")
    assert Counter(frame.split) == {"validation": 4, "test": 1}
    assert frame["ga.lr"].nunique() == 4 and set(frame.pair) == {"ga"}
    assert "split" in settings_of(frame, Catalogue())


def test_a_trial_that_fails_does_not_stop_the_study_and_is_tried_again(
    cache: Checkpoints, applied: Applied
) -> None:
    def unlucky(step: Intervention) -> None:
        if step.params()["lr"] == 1e-4:
            raise RuntimeError("out of luck")

    applied.before = unlucky
    with pytest.raises(Incomplete, match=r"1 of 4 failed; .*\n  trial of slot 1: out of luck"):
        run_study(study_spec(), cache)
    assert len(trial_runs()) == 3 and len(study_runs(status="FAILED")) == 1
    assert parent_run().info.status == "FAILED"
    applied.before = lambda step: None
    outcome = run_study(study_spec(), cache)
    assert outcome.ended_before == 3 and len(trial_runs()) == 4
    assert study_runs(status="FAILED") == [] and parent_run().info.status == "FINISHED"


@pytest.mark.parametrize("count", [1, 3])
def test_ctrl_c_leaves_no_run_running_and_the_same_again_runs_what_is_missing(
    cache: Checkpoints, applied: Applied, count: int
) -> None:
    def interrupt(step: Intervention) -> None:
        if len(applied.steps) == count:
            raise KeyboardInterrupt

    applied.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        run_study(study_spec(), cache)
    assert len(study_runs(status="KILLED")) == 1 and len(trial_runs()) == count - 1
    assert parent_run().info.status == "KILLED"
    run_study(study_spec(), cache)
    assert len({run.data.params["ga.lr"] for run in trial_runs()}) == len(trial_runs()) == 4
    assert study_runs(status="KILLED") == study_runs(status="RUNNING") == []


def test_the_run_that_mlflow_run_made_is_the_parent(
    cache: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = MlflowClient().create_run(store.ensure_experiment()).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    run_study(study_spec(params=(("intervention", SPEC),)), cache)
    assert parent_run().info.run_id == launched
    assert parent_run().data.params["intervention"] == SPEC


def test_a_study_may_be_served_while_another_process_serves_it(cache: Checkpoints) -> None:
    """The parent says RUNNING, and its process lives."""
    run_study(study_spec(), cache)
    client, parent_id = MlflowClient(), parent_run().info.run_id
    client.update_run(parent_id, status="RUNNING")
    living = lifecycle.process_tags() | {schema.HOST: "elsewhere"}
    for name, value in living.items():
        client.set_tag(parent_id, name, value)
    assert run_study(study_spec(), cache).ended_before == 4


def kill_when_told(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """End the process between a trial's run and what the study is told of it, so many times."""
    set_user_attr = Trial.set_user_attr
    told: list[Any] = []

    def killed(trial: Trial, key: str, value: Any) -> None:
        if key == RUNS and len(told) < times:
            told.append(value)
            raise lifecycle.Terminated
        set_user_attr(trial, key, value)

    monkeypatch.setattr(Trial, "set_user_attr", killed)


def test_a_run_that_had_finished_when_its_process_was_killed_is_not_run_again(
    cache: Checkpoints, applied: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_when_told(monkeypatch, times=1)
    with pytest.raises(lifecycle.Terminated):
        run_study(study_spec(), cache)
    (finished,) = trial_runs()
    conclusion = run_study(study_spec(), cache).conclusion
    assert len(applied.steps) == 4 + 1  # each point once, and one on test data
    assert {run.info.run_id for run in trial_runs()} == {
        run_id for trial in conclusion.trials for run_id in trial.user_attrs[RUNS]["runs"]
    }
    (again,) = (t for t in conclusion.trials if finished.info.run_id in t.user_attrs[RUNS]["runs"])
    assert again.values == [finished.data.metrics["edit_locality"]]
    assert parent_run().info.status == "FINISHED"


def test_of_two_finished_runs_of_a_slot_the_one_stays_that_its_trial_names(
    cache: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sampler may fill a slot with other values once its first trial is lost."""
    kill_when_told(monkeypatch, times=1)
    with pytest.raises(lifecycle.Terminated):
        run_study(study_spec(), cache)
    (lost,) = trial_runs()
    MlflowClient().set_tag(lost.info.run_id, schema.KEY, "of other values")
    conclusion = run_study(study_spec(), cache).conclusion
    named = {run_id for trial in conclusion.trials for run_id in trial.user_attrs[RUNS]["runs"]}
    assert lost.info.run_id not in named
    assert {run.info.run_id for run in trial_runs()} == named
    assert parent_run().info.status == "FINISHED"
