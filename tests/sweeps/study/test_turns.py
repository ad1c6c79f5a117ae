"""Turns: what one process may do at a time."""

import os
import threading
import time
from pathlib import Path

import optuna
import pytest

from sweeps.study.attributes import OWNER
from sweeps.study.options import JOURNAL
from sweeps.study.storage import open_storage
from sweeps.study.trial_queue import TrialQueue
from tests.sweeps.study.queues import open_queue
from tracking import lifecycle, schema


def test_a_turn_is_one_process_at_a_time_and_one_that_was_killed_in_it_does_not_keep_it(
    studies: Path,
) -> None:
    inside = most = 0
    ready = threading.Barrier(3)

    def take() -> None:
        nonlocal inside, most
        queue = open_queue(studies)
        ready.wait()
        with queue.turn("conclusion"):
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    abandoned = open_queue(studies).turn("conclusion")
    abandoned.__enter__()  # and never let go of
    dead = lifecycle.process_tags() | {schema.PID: "999999"}
    storage = open_storage(JOURNAL, studies, "composability", "mine")
    turn = optuna.load_study(study_name="mine (conclusion)", storage=storage)
    turn.set_user_attr(OWNER, dead)
    with open_queue(studies).turn("conclusion"):
        turn = optuna.load_study(study_name="mine (conclusion)", storage=storage)
        assert turn.user_attrs[OWNER][schema.PID] == str(os.getpid())
    assert optuna.get_all_study_names(storage) == ["mine"]


class Waited(Exception):
    """Raised instead of waiting for a turn."""


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seconds: float) -> None:
        raise Waited

    monkeypatch.setattr("sweeps.study.turns.time.sleep", refuse)


def held_by(folder: Path, owner: dict[str, str] | None) -> TrialQueue:
    """Return a queue whose turn is held by a process, or by one that has not signed yet."""
    queue = open_queue(folder)
    storage = open_storage(JOURNAL, folder, "composability", "mine")
    turn = optuna.create_study(study_name="mine (conclusion)", storage=storage)
    if owner is not None:
        turn.set_user_attr(OWNER, owner)
    return queue


@pytest.mark.usefixtures("no_wait")
def test_a_living_process_keeps_its_turn(studies: Path) -> None:
    queue = held_by(studies, lifecycle.process_tags())
    with pytest.raises(Waited), queue.turn("conclusion"):
        pass


@pytest.mark.usefixtures("no_wait")
def test_a_silent_process_on_another_host_keeps_its_turn_while_a_run_of_the_study_lives(
    studies: Path,
) -> None:
    silent = {schema.HOST: "elsewhere", schema.HEARTBEAT: "0.0"}
    queue = held_by(studies, lifecycle.process_tags() | silent)
    with pytest.raises(Waited), queue.turn("conclusion", lambda: False):
        pass
    entered = False
    with queue.turn("conclusion", lambda: True):
        entered = True
    assert entered


@pytest.mark.usefixtures("no_wait")
def test_a_turn_that_nobody_signs_is_taken_over_after_a_minute(
    studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = held_by(studies, None)
    with pytest.raises(Waited), queue.turn("conclusion"):
        pass
    monkeypatch.setattr("sweeps.study.turns.UNSIGNED_SECONDS", 0.5)
    entered = False
    with queue.turn("conclusion"):
        entered = True
    assert entered


@pytest.mark.usefixtures("no_wait")
def test_a_dead_process_on_this_host_loses_its_turn_whatever_runs(studies: Path) -> None:
    dead = lifecycle.process_tags() | {schema.PID: "999999"}
    entered = False
    with held_by(studies, dead).turn("conclusion", lambda: False):
        entered = True
    assert entered
