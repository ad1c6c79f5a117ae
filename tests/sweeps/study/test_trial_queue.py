"""The queue of trials: every slot once and only once."""

import os
import threading
from collections import Counter
from pathlib import Path

import pytest
from optuna.trial import TrialState

from interventions.errors import InvalidInput
from sweeps.study.attributes import CLAIMANT, ERROR, OWNER
from tests.sweeps.study.queues import (
    ABOUT,
    always_silent,
    open_queue,
    run_all,
    run_drawn,
    run_point,
)
from tracking import lifecycle, schema

# the pid of a process that is gone, given to this one since
DEAD = {schema.PID: "999999"}


def test_what_several_put_in_at_once_is_run_once(studies: Path) -> None:
    """Four threads, each with a storage of its own, as processes have."""
    points: list[int] = []
    ready = threading.Barrier(4)

    def serve() -> None:
        queue = open_queue(studies)
        ready.wait()
        queue.fill()
        points.extend(run_all(queue))

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(points) == Counter(range(6))
    queue = open_queue(studies)
    assert sorted(trial.params["x"] for trial in queue.ended()) == list(range(6))
    assert queue.unfinished() == [] and queue.failed() == {}


def test_a_trial_lost_with_its_process_is_run_again_and_one_that_failed_only_when_asked_again(
    studies: Path,
) -> None:
    queue = open_queue(studies)
    queue.fill()
    killed, broken = queue.claim(), queue.claim()
    assert killed is not None and broken is not None
    killed.set_user_attr(OWNER, lifecycle.process_tags() | DEAD)
    broken.set_user_attr(ERROR, "out of luck")
    queue.study.tell(broken, state=TrialState.FAIL)
    survivor = open_queue(studies)
    assert survivor.recover_lost(always_silent) and not survivor.recover_lost(always_silent)
    assert sorted(run_all(survivor)) == [0, 2, 3, 4, 5]
    assert survivor.failed() == {1: "out of luck"}
    again = open_queue(studies)
    again.fill()
    trial = again.claim()
    assert trial is not None and run_point(again, trial) == 1
    assert again.claim() is None and again.failed() == {} and len(again.ended()) == 6
    again.fill()
    assert again.unfinished() == []


def test_a_trial_that_is_being_run_is_not_lost(studies: Path) -> None:
    queue = open_queue(studies)
    queue.fill()
    trial = queue.claim()
    assert trial is not None and not open_queue(studies).recover_lost(always_silent)
    assert trial.user_attrs[OWNER][schema.PID] == str(os.getpid())
    assert len(queue.unfinished()) == 6
    trial.set_user_attr(OWNER, lifecycle.process_tags() | {schema.HOST: "elsewhere"})
    assert not open_queue(studies).recover_lost(lambda trial: False)
    assert open_queue(studies).recover_lost(always_silent)


def test_a_sampler_fills_slots_and_more_can_be_added(studies: Path) -> None:
    for count in (4, 7):
        queue = open_queue(studies, count, kind="tpe")
        queue.fill()
        run_drawn(queue)
        ended = queue.ended()
        assert len(ended) == count == len({trial.params["z"] for trial in ended})


def test_what_a_slot_draws_depends_on_the_seed_not_on_the_process(
    studies: Path, tmp_path: Path
) -> None:
    drawn = {}
    for name, seed in (("first", 0), ("second", 0), ("third", 1)):
        queue = open_queue(tmp_path / name, 5, kind="tpe", seed=seed)
        queue.fill()
        drawn[name] = run_drawn(queue)
    assert drawn["first"] == drawn["second"]
    assert not set(drawn["first"]) & set(drawn["third"])


def test_a_name_that_belongs_to_another_study_is_refused(studies: Path) -> None:
    open_queue(studies)
    message = "study 'mine' is of space=paper, and this is space=default: give another"
    with pytest.raises(InvalidInput, match=message):
        open_queue(studies, about=ABOUT | {"space": "default"})


def test_of_what_is_put_in_twice_for_one_reason_the_second_is_dropped_for_good(
    studies: Path,
) -> None:
    queue = open_queue(studies)
    queue.fill()
    for slot in range(6):
        queue._put(slot, -1)
    assert run_all(queue) == list(range(6))
    assert queue.failed() == {} and not queue.recover_lost(always_silent)
    queue.fill()
    assert queue.unfinished() == []


def test_a_slot_that_was_done_twice_counts_once_with_its_first_trial(studies: Path) -> None:
    queue = open_queue(studies)
    queue.fill()
    run_all(queue)
    queue._put(2, 77)
    run_all(queue)
    ended = queue.ended()
    assert len(ended) == 6 and sorted(trial.number for trial in ended) == list(range(6))


def test_a_trial_that_says_not_who_claimed_it_is_lost_after_a_minute(
    studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may be killed between the claim and its signature."""
    queue = open_queue(studies)
    queue.fill()
    waiting = queue.trials()[0]
    trial_id = queue._storage.get_trial_id_from_study_id_trial_number(
        queue._study_id, waiting.number
    )
    assert queue._start(trial_id)
    assert not queue.recover_lost(lambda trial: True)
    monkeypatch.setattr("sweeps.study.trial_queue._UNSIGNED_SECONDS", -1.0)
    assert queue.recover_lost(lambda trial: False)
    assert run_all(queue) == [0, 1, 2, 3, 4, 5]


def test_a_trial_whose_process_was_killed_before_it_signed_is_lost_at_once(studies: Path) -> None:
    queue = open_queue(studies)
    queue.fill()
    claimed = queue._claim_first()
    assert claimed is not None and not open_queue(studies).recover_lost(lambda trial: False)
    queue._storage.set_trial_user_attr(claimed[0], CLAIMANT, lifecycle.process_tags() | DEAD)
    survivor = open_queue(studies)
    assert survivor.recover_lost(lambda trial: False)
    assert run_all(survivor) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("is_let_go", [False, True])
def test_a_claim_during_which_the_storage_was_away_is_gone_on_with(
    studies: Path, monkeypatch: pytest.MonkeyPatch, is_let_go: bool
) -> None:
    queue = open_queue(studies)
    queue.fill()

    def away(trial_id: int, slot: int) -> None:
        raise ConnectionError

    with monkeypatch.context() as outage, pytest.raises(ConnectionError):
        outage.setattr(queue, "_trial", away)
        queue.claim()
    if is_let_go:  # by a process that has waited for a minute
        queue.study.tell(0, state=TrialState.FAIL)
    assert run_all(queue) == list(range(int(is_let_go), 6))
    assert open_queue(studies).recover_lost(always_silent) == is_let_go
