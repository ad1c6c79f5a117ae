"""The parent run of a sweep: which runs count, which are deleted, and who may be at it."""

from typing import cast

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from interventions.errors import InvalidInput
from sweeps.parent_run import ParentRun
from tracking import lifecycle, schema, store

ALIVE = "alive"


@pytest.fixture
def parent(local_store: str) -> ParentRun:
    return ParentRun(MlflowClient(local_store), store.ensure_experiment(), "mine")


def process_tags(process: str) -> dict[str, str]:
    """Return the tags of this process, of another one that lives, or of one that is gone."""
    if process == "own":
        return lifecycle.process_tags()
    elsewhere = lifecycle.process_tags() | {schema.HOST: "elsewhere"}
    return elsewhere if process == ALIVE else elsewhere | {schema.HEARTBEAT: "1.0"}


def add_run(
    parent: ParentRun, job: str, start_time: int, status: str, process: str = "gone"
) -> str:
    tags = {schema.SWEEP: parent.name, schema.JOB: job, **process_tags(process)}
    run = parent.client.create_run(parent.experiment_id, start_time=start_time, tags=tags)
    if status != "RUNNING":
        parent.client.set_terminated(run.info.run_id, status)
    return str(run.info.run_id)


def remaining(parent: ParentRun) -> set[str]:
    return {run.info.run_id for run in parent.client.search_runs([parent.experiment_id])}


def status(parent: ParentRun, run_id: str) -> str:
    return str(parent.client.get_run(run_id).info.status)


def test_of_a_job_the_first_finished_run_counts_and_all_else_is_deleted(parent: ParentRun) -> None:
    add_run(parent, "a", 1, "FAILED")
    first = add_run(parent, "a", 2, "FINISHED")
    add_run(parent, "a", 3, "FINISHED")
    add_run(parent, "a", 4, "RUNNING")
    assert parent.settle_runs() == {"a": first}
    assert remaining(parent) == {first}


def test_a_finished_run_that_something_names_counts_before_an_earlier_one(
    parent: ParentRun,
) -> None:
    add_run(parent, "a", 1, "FINISHED")
    named = add_run(parent, "a", 2, "FINISHED")
    failed = add_run(parent, "b", 3, "FAILED")
    finished = add_run(parent, "b", 4, "FINISHED")
    assert parent.settle_runs({named, failed}) == {"a": named, "b": finished}
    assert remaining(parent) == {named, finished}


def test_of_a_job_that_never_finished_the_last_run_stays_but_does_not_count(
    parent: ParentRun,
) -> None:
    add_run(parent, "a", 1, "KILLED")
    last = add_run(parent, "a", 2, "FAILED")
    assert parent.settle_runs() == {}
    assert remaining(parent) == {last} and status(parent, last) == "FAILED"


@pytest.mark.parametrize("process", ["gone", "own"])
def test_a_run_that_says_running_without_a_process_is_ended(
    parent: ParentRun, process: str
) -> None:
    """This process is at none of the runs while it asks."""
    run_id = add_run(parent, "a", 1, "RUNNING", process)
    assert parent.settle_runs() == {}
    assert status(parent, run_id) == "KILLED"


def test_a_run_at_which_another_process_works_is_left_alone(parent: ParentRun) -> None:
    finished = add_run(parent, "a", 1, "FINISHED")
    superseded = add_run(parent, "a", 2, "RUNNING", ALIVE)
    only = add_run(parent, "b", 3, "RUNNING", ALIVE)
    assert parent.settle_runs() == {"a": finished}
    assert remaining(parent) == {finished, superseded, only}
    assert status(parent, only) == "RUNNING"


def test_once_all_work_has_ended_an_attempt_whose_process_lives_is_ended_too(
    parent: ParentRun,
) -> None:
    """A worker that the store was away from lives, and its attempt was made again by another."""
    finished = add_run(parent, "a", 1, "FINISHED")
    superseded = add_run(parent, "a", 2, "RUNNING", ALIVE)
    only = add_run(parent, "b", 3, "RUNNING", ALIVE)
    assert parent.settle_runs(all_ended=True) == {"a": finished}
    assert remaining(parent) == {finished, only}
    assert status(parent, superseded) == status(parent, only) == "KILLED"


def test_a_run_that_only_has_the_sweeps_name_is_left_alone(parent: ParentRun) -> None:
    tags = {schema.SWEEP: parent.name}
    copies = {
        parent.client.create_run(parent.experiment_id, tags=tags).info.run_id for _ in range(2)
    }
    for run_id in copies:
        parent.client.set_terminated(run_id)
    assert parent.settle_runs() == {} and remaining(parent) == copies


def test_runs_of_another_sweep_are_not_looked_at(parent: ParentRun) -> None:
    other_sweep = ParentRun(parent.client, parent.experiment_id, "another")
    run_ids = {add_run(other_sweep, "a", 1, "KILLED"), add_run(other_sweep, "a", 2, "FAILED")}
    assert parent.settle_runs() == {}
    assert remaining(parent) == run_ids


def test_the_parent_is_made_once_and_its_params_keep_their_first_values(parent: ParentRun) -> None:
    run_id = parent.open_run({"seeds": "1", "split": "test"})
    parent.client.set_terminated(run_id)
    assert parent.open_run({"seeds": "2", "split": "test", "new": "x"}) == run_id
    run = parent.client.get_run(run_id)
    assert run.info.run_name == "mine" and run.data.tags[schema.SWEEP_ROOT] == "mine"
    assert run.data.params == {"seeds": "1", "split": "test", "new": "x"}
    assert run.data.tags[schema.ASKED_AGAIN] == "seeds=2"


def test_a_parent_that_ended_runs_again(parent: ParentRun) -> None:
    run_id = parent.open_run({})
    parent.client.set_terminated(run_id, "FAILED")
    assert parent.open_run({}) == run_id
    assert status(parent, run_id) == "RUNNING"
    assert schema.ASKED_AGAIN not in parent.client.get_run(run_id).data.tags


def test_the_run_that_mlflow_run_made_may_be_the_parent_already(
    parent: ParentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = parent.client.create_run(parent.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    assert parent.open_run({}) == launched == parent.open_run({})
    run = parent.client.get_run(launched)
    assert run.info.run_name == "mine" and schema.PARENT not in run.data.tags


def test_the_run_of_a_second_mlflow_run_is_nested_under_the_parent(
    parent: ParentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = parent.open_run({})
    parent.client.set_terminated(run_id)
    launched = parent.client.create_run(parent.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    assert parent.open_run({}) == run_id
    run = parent.client.get_run(launched)
    assert run.info.run_name == "mine (again)" and run.data.tags[schema.PARENT] == run_id


def test_the_store_is_asked_only_for_runs_on_another_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filters: list[str] = []

    def no_runs(client: object, experiment_ids: list[str], condition: str) -> list[Run]:
        filters.append(condition)
        return []

    monkeypatch.setattr("tracking.query.all_runs", no_runs)
    unread = ParentRun(cast(MlflowClient, None), "7", "mine")
    unread.check_version({"model": "testbed@3", "data": "paper"})
    another_version = "params.model LIKE 'testbed%' and params.model != 'testbed@3'"
    tagged = [f"tags.`{tag}` = 'mine'" for tag in (schema.SWEEP_ROOT, schema.SWEEP)]
    assert filters == [f"{condition} and {another_version}" for condition in tagged]
    assert unread.settle_runs() == {} and filters[2:] == tagged[1:]


def test_a_second_process_may_join_only_a_shared_sweep(parent: ParentRun) -> None:
    run_id = parent.open_run({})
    for key, value in process_tags(ALIVE).items():
        parent.client.set_tag(run_id, key, value)
    with pytest.raises(
        InvalidInput, match=r"'mine' is being run by process \d+ on elsewhere: wait"
    ):
        parent.open_run({})
    assert parent.open_run({}, shared=True) == run_id
    for key, value in process_tags("gone").items():
        parent.client.set_tag(run_id, key, value)
    assert parent.open_run({}) == run_id


def test_a_sweep_that_an_earlier_version_runs_is_named_by_its_process(parent: ParentRun) -> None:
    owner = {
        name.replace(schema.MACHINE, "composability."): text
        for name, text in process_tags(ALIVE).items()
    }
    tags = {**owner, schema.SWEEP_ROOT: parent.name}
    parent.client.create_run(parent.experiment_id, tags=tags, run_name=parent.name)
    with pytest.raises(InvalidInput, match=r"'mine' is being run by process \d+ on elsewhere"):
        parent.open_run({})


def test_a_sweep_that_was_killed_after_its_first_request_is_free_at_once(
    parent: ParentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parent says from the beginning whose it is; a run that says nothing is given minutes."""
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "update_run", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            parent.open_run({})
    (run_id,) = remaining(parent)
    tags = parent.client.get_run(run_id).data.tags
    assert tags.items() >= {schema.PID: lifecycle.process_tags()[schema.PID]}.items()
    parent.client.set_tag(run_id, schema.PID, "999999")
    assert parent.open_run({}) == run_id


def set_params(parent: ParentRun, run_id: str, **params: str) -> None:
    for name, value in params.items():
        parent.client.log_param(run_id, name, value)


NOW = {"model": "testbed@3", "data": "testbed@3"}


@pytest.mark.parametrize("setting", ["model", "data"])
def test_a_sweep_that_began_on_another_version_of_the_testbed_needs_another_name(
    parent: ParentRun, setting: str
) -> None:
    tags = {schema.SWEEP_ROOT: parent.name}
    root = parent.client.create_run(parent.experiment_id, tags=tags).info.run_id
    set_params(parent, root, **{**NOW, setting: "testbed"})
    with pytest.raises(InvalidInput) as error:
        parent.open_run(NOW, shared=True)
    assert str(error.value) == (
        f"'mine' has runs of {setting}=testbed@1, and this is {setting}=testbed@3: the two are not"
        " mixed; its runs stay readable, but give this one another name"
    )
    # other data are none of its business, and another sweep neither
    parent.open_run({"model": "gpt2", "data": "paper"}, shared=True)
    ParentRun(parent.client, parent.experiment_id, "another").open_run(NOW)


def test_runs_of_a_sweep_on_another_version_are_seen_though_its_parent_began_on_something_else(
    parent: ParentRun,
) -> None:
    parent.open_run({"model": "gpt2", "data": "paper"})
    parent.open_run(NOW, shared=True)
    set_params(parent, add_run(parent, "a", 1, "FINISHED"), model="gpt2", data="testbed-mine")
    parent.check_version(NOW)
    set_params(parent, add_run(parent, "b", 2, "FINISHED"), model="gpt2", data="testbed")
    with pytest.raises(InvalidInput, match="'mine' has runs of data=testbed@1"):
        parent.open_run(NOW, shared=True)


def test_a_parent_that_mlflow_run_made_says_the_version_that_it_used(
    parent: ParentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = parent.client.create_run(parent.experiment_id).info.run_id
    set_params(parent, launched, model="testbed", data="testbed", seeds="1")
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    assert parent.open_run({**NOW, "seeds": "1"}) == launched
    run = parent.client.get_run(launched)
    assert (run.data.params["used.model"], run.data.params["used.data"]) == tuple(NOW.values())
    assert schema.ASKED_AGAIN not in run.data.tags
    monkeypatch.delenv("MLFLOW_RUN_ID")
    parent.client.set_terminated(launched)
    assert parent.open_run({**NOW, "seeds": "1"}) == launched
