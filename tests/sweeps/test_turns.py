"""Turns: what one process of a sweep may do at a time."""

import json
import os
import threading
import time

import pytest
from mlflow import MlflowClient

from sweeps.parent_run import ParentRun
from tracking import lifecycle, schema, store


@pytest.fixture
def parent(local_store: str) -> ParentRun:
    return ParentRun(MlflowClient(local_store), store.ensure_experiment(), "mine")


def owners(parent: ParentRun) -> list[dict[str, str]]:
    """Return who holds or wants a turn, by the store."""
    tags = parent.client.get_experiment(parent.experiment_id).tags
    return [json.loads(tags[key]) for key in sorted(tags) if key.startswith(schema.CLAIM)]


def test_a_turn_is_one_process_at_a_time_and_one_that_was_killed_in_it_does_not_keep_it(
    parent: ParentRun,
) -> None:
    inside = most = 0
    ready = threading.Barrier(3)

    def take() -> None:
        nonlocal inside, most
        ready.wait()
        with parent.turn("conclusion"):
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and not owners(parent)
    hold(parent, lifecycle.process_tags() | {schema.PID: "999999"})
    with parent.turn("conclusion"):
        assert [owner[schema.PID] for owner in owners(parent)] == [str(os.getpid())]
    assert not owners(parent)


class Waited(Exception):
    """Raised instead of waiting for a turn."""


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seconds: float) -> None:
        raise Waited

    monkeypatch.setattr("tracking.store_lock.time.sleep", refuse)


def hold(parent: ParentRun, owner: dict[str, str] | None) -> None:
    """Let a process hold the turn, or one that does not say who it is."""
    with parent.turn("conclusion"):
        tags = parent.client.get_experiment(parent.experiment_id).tags
        (claim,) = (key for key in tags if key.startswith(schema.CLAIM))
    parent.client.set_experiment_tag(parent.experiment_id, claim, json.dumps(owner))


@pytest.mark.usefixtures("no_wait")
def test_a_living_process_keeps_its_turn(parent: ParentRun) -> None:
    hold(parent, lifecycle.process_tags())
    with pytest.raises(Waited), parent.turn("conclusion"):
        pass
    with parent.turn("opening"):  # another task does not wait
        assert len(owners(parent)) == 2


@pytest.mark.usefixtures("no_wait")
def test_a_silent_process_on_another_host_keeps_its_turn_while_a_run_of_the_study_lives(
    parent: ParentRun,
) -> None:
    hold(parent, lifecycle.process_tags() | {schema.HOST: "elsewhere", schema.HEARTBEAT: "0.0"})
    with pytest.raises(Waited), parent.turn("conclusion", lambda: False):
        pass
    entered = False
    with parent.turn("conclusion"):  # nothing is said of runs: then none keeps it
        entered = True
    assert entered


@pytest.mark.usefixtures("no_wait")
def test_a_process_on_another_host_keeps_its_turn_for_longer_than_a_minute(
    parent: ParentRun,
) -> None:
    ago = str(time.time() - lifecycle.SILENT_SECONDS + 60)
    hold(parent, lifecycle.process_tags() | {schema.HOST: "elsewhere", schema.HEARTBEAT: ago})
    with pytest.raises(Waited), parent.turn("conclusion", lambda: True):
        pass


@pytest.mark.usefixtures("no_wait")
def test_a_turn_that_nobody_signs_is_taken_over(parent: ParentRun) -> None:
    hold(parent, None)
    entered = False
    with parent.turn("conclusion"):
        entered = True
    assert entered


@pytest.mark.usefixtures("no_wait")
def test_a_dead_process_on_this_host_loses_its_turn_whatever_runs(parent: ParentRun) -> None:
    hold(parent, lifecycle.process_tags() | {schema.PID: "999999"})
    entered = False
    with parent.turn("conclusion", lambda: False):
        entered = True
    assert entered
