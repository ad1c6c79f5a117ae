"""How long a process serves a study, and whether a trial of another host is still being run."""

import datetime
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow.entities import Run
from optuna.trial import FrozenTrial

from sweeps.study import serving
from sweeps.study.serving import has_living_run, is_trial_silent, serve
from sweeps.study.spec import StudySpec
from sweeps.study.study_runs import StudyRuns
from sweeps.study.trial_queue import TrialQueue
from tracking import lifecycle

LONG_AGO = time.time() - lifecycle.SILENT_SECONDS - 60


def run(status: str, is_dead: bool, end: float = LONG_AGO) -> Any:
    info = SimpleNamespace(status=status, end_time=None if status == "RUNNING" else int(end * 1000))
    return SimpleNamespace(info=info, is_dead=is_dead)


def runs(*fakes: Any) -> StudyRuns:
    return cast(
        StudyRuns, SimpleNamespace(of_trial=lambda number: fakes, search=lambda text: fakes)
    )


def trial(started: float = LONG_AGO) -> FrozenTrial:
    start = datetime.datetime.fromtimestamp(started)
    return cast(FrozenTrial, SimpleNamespace(number=3, datetime_start=start))


@pytest.fixture(autouse=True)
def _dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_run_dead(run: Run) -> bool:
        return bool(run.is_dead)

    monkeypatch.setattr(lifecycle, "is_run_dead", is_run_dead)


def test_a_trial_is_silent_when_it_started_long_ago_and_nothing_of_it_lives() -> None:
    assert is_trial_silent(runs(), trial())
    assert is_trial_silent(runs(run("RUNNING", is_dead=True)), trial())
    assert is_trial_silent(runs(run("FAILED", is_dead=False)), trial())


def test_a_trial_is_not_silent_while_a_run_lives_or_one_has_just_ended_or_it_has_just_started() -> (
    None
):
    assert not is_trial_silent(runs(run("RUNNING", is_dead=False)), trial())
    ended, just_ended = (run("FINISHED", True, end) for end in (LONG_AGO, time.time()))
    assert not is_trial_silent(runs(just_ended), trial())
    assert not is_trial_silent(runs(ended, just_ended), trial())
    assert not is_trial_silent(runs(just_ended, ended), trial())
    assert not is_trial_silent(runs(), trial(started=time.time()))


def test_a_study_lives_while_one_of_its_runs_has_a_process() -> None:
    dead, living = run("RUNNING", is_dead=True), run("RUNNING", is_dead=False)
    assert has_living_run(runs(dead, living))
    assert not has_living_run(runs(dead)) and not has_living_run(runs())


def test_a_process_waits_while_others_run_the_last_trials_and_ends_when_none_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = [["a trial", "another"], ["a trial"], []]
    queue = SimpleNamespace(
        claim=lambda: None,
        recover_lost=lambda is_silent: 0,
        unfinished=lambda: looks.pop(0),
    )
    monkeypatch.setattr(serving, "POLL_SECONDS", 0)
    looks_left: list[int] = []
    serve(
        cast(StudySpec, None),
        runs(),
        cast(TrialQueue, queue),
        on_progress=lambda: looks_left.append(len(looks)),
    )
    assert looks_left == [2, 1, 0]


def test_what_was_lost_is_put_in_again_before_the_first_claim() -> None:
    calls: list[str] = []
    queue = SimpleNamespace(
        claim=lambda: calls.append("claim"),
        recover_lost=lambda is_silent: calls.append("recover"),
        unfinished=lambda: [],
    )
    serve(cast(StudySpec, None), runs(), cast(TrialQueue, queue))
    assert calls[:2] == ["recover", "claim"]


def test_what_was_lost_is_claimed_at_once_and_what_others_run_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[object] = []
    claims, lost = iter([3, None, 1, None, None]), iter([False, True, False, False])
    others = iter([["a trial"], []])

    def recover(is_silent: object) -> bool:
        calls.append("recover")
        return next(lost)

    def run_claimed(number: int, *others: object) -> None:
        calls.append(f"run {number}")

    queue = SimpleNamespace(
        claim=lambda: next(claims), recover_lost=recover, unfinished=lambda: next(others)
    )
    monkeypatch.setattr(serving, "run_trial", run_claimed)
    monkeypatch.setattr(time, "sleep", calls.append)
    serve(cast(StudySpec, None), runs(), cast(TrialQueue, queue), lambda: calls.append("progress"))
    assert calls == [
        "recover",
        *("run 3", "progress"),
        *("recover", "progress"),
        *("run 1", "progress"),
        *("recover", serving.POLL_SECONDS, "progress"),
        *("recover", "progress"),
    ]
