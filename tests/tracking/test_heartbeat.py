"""The heartbeat of a run, on a clock that the test sets."""

import os
import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow import MlflowClient

from tracking import heartbeat, schema
from tracking.heartbeat import Watch, launcher_watch
from tracking.processes import LAUNCHER, process_tags


class Process:
    """A process that beats until it is told to stop; every look at the clock is at a second.

    Attributes:
        seconds: of the clock.
        beats: when a heartbeat was sent.
        ticks: how many there were.
        signals: that the process was sent.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        self.beats: list[float] = []
        self.ticks = 0
        self.signals: list[int] = []
        self.run = SimpleNamespace(
            data=SimpleNamespace(tags=process_tags()),
            info=SimpleNamespace(lifecycle_stage="active", status="RUNNING"),
        )
        clock = SimpleNamespace(monotonic=lambda: self.seconds, time=lambda: self.seconds)
        monkeypatch.setattr(heartbeat, "time", clock)
        monkeypatch.setattr(os, "kill", lambda pid, number: self.signals.append(number))

    def beat(
        self, seconds: int, *, ends_at: int = 0, shared: bool = False, main: bool = True
    ) -> None:
        """Beat for some seconds.

        Args:
            seconds: that the run takes.
            ends_at: from then on the run has ended, while a request is under way.
            shared: whether other processes serve the run, too.
            main: whether a signal raises.
        """
        begin = self.seconds

        def wait(waited: float) -> bool:
            self.seconds += waited
            return self.seconds - begin > seconds

        def tick() -> None:
            self.ticks += 1
            raise RuntimeError("the store is away")

        stop = SimpleNamespace(
            wait=wait, is_set=lambda: bool(ends_at) and self.seconds - begin >= ends_at
        )
        client = cast(MlflowClient, self)
        watch = Watch(client, "mine", shared)
        watch.can_interrupt = main
        heartbeat.beat(client, "mine", cast(Any, stop), lambda: False, tick, watch)

    def set_tag(self, run_id: str, tag: str, value: str) -> None:
        assert (run_id, tag) == ("mine", schema.HEARTBEAT)
        self.beats.append(float(value))

    def get_run(self, run_id: str) -> Any:
        return self.run


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    return Process(monkeypatch)


def test_a_run_beats_once_more_than_thirty_seconds_have_passed(process: Process) -> None:
    process.beat(70)
    assert process.beats == [1031.0, 1062.0]
    assert process.ticks == 70 and process.signals == []


@pytest.mark.parametrize(
    ("ends_at", "main", "signals"),
    [(0, True, [signal.SIGTERM]), (31, True, []), (32, True, [signal.SIGTERM]), (0, False, [])],
)
def test_a_run_that_somebody_ended_interrupts_its_process_unless_that_has_ended_it(
    process: Process, ends_at: int, main: bool, signals: list[int]
) -> None:
    process.run.info.status = "KILLED"
    process.beat(70, ends_at=ends_at, main=main)
    assert process.signals == signals
    assert process.beats == [] and process.ticks == 31


def test_a_run_that_several_processes_serve_is_whosever_it_says(process: Process) -> None:
    process.run.info.status = "KILLED"
    process.beat(40, shared=True)
    assert process.signals == [] and len(process.beats) == 1


def test_no_signal_raises_before_a_run_says_so() -> None:
    assert Watch(cast(MlflowClient, None), "mine", shared=False).can_interrupt is False


def ancestor(name: str, is_running: bool) -> Any:
    return SimpleNamespace(name=lambda: name, is_running=lambda: is_running)


@pytest.mark.parametrize("is_running", [True, False])
def test_without_a_launchers_word_the_nearest_ancestor_that_is_no_shell_is_watched(
    monkeypatch: pytest.MonkeyPatch, is_running: bool
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "mine")
    monkeypatch.delenv(LAUNCHER, raising=False)
    parents = [
        ancestor("sh", not is_running),
        ancestor("mlflow", is_running),
        ancestor("init", not is_running),
    ]
    process = SimpleNamespace(parents=lambda: parents)
    monkeypatch.setattr("psutil.Process", lambda: process)
    assert launcher_watch()() is not is_running
