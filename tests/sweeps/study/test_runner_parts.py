"""What a study's process opens, shows and says at its end, without running a trial."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sweeps.failures import Incomplete
from sweeps.study import runner
from sweeps.study.spec import StudySpec
from tracking.checkpoints.store import Checkpoints

Calls = list[tuple[str, object]]


class Stopped(Exception):
    """Ends a study before its first trial."""


class Parent:
    """A parent run that is opened, and no more."""

    def __init__(self, calls: Calls) -> None:
        self.client = None
        self._calls = calls

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[None]:
        yield

    def open_run(self, params: dict[str, str], shared: bool) -> str:
        self._calls.append(("open", shared))
        return "parent"


def test_a_study_opens_its_queue_in_the_cache_that_is_named_and_shares_its_parent_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: Calls = []
    cache = Checkpoints(tmp_path)

    def close(client: object, run_id: str, shared: bool) -> None:
        calls.append(("close", shared))
        raise Stopped

    monkeypatch.setattr(runner, "mlflow", SimpleNamespace(set_tracking_uri=lambda uri: None))
    monkeypatch.setattr(runner, "ParentRun", lambda *arguments: Parent(calls))
    monkeypatch.setattr(runner, "lifecycle", SimpleNamespace(closing_run=close))
    monkeypatch.setattr(
        runner, "store", SimpleNamespace(uri=str, client=str, ensure_experiment=str)
    )

    def open_queue(checkpoints: Checkpoints) -> object:
        calls.append(("queue", checkpoints))
        return SimpleNamespace(fill=lambda: None)

    request = SimpleNamespace(experiment="e", name="mine", params=())
    spec: Any = SimpleNamespace(request=request, open_queue=open_queue)
    with pytest.raises(Stopped):
        runner.run_study(cast(StudySpec, spec), cache)
    assert calls == [("queue", cache), ("open", True), ("close", True)]


def test_the_progress_line_counts_trials_that_ended_and_those_that_failed() -> None:
    shown: list[Any] = []
    bar: Any = SimpleNamespace(
        n=0,
        set_postfix=lambda failed, refresh: shown.append(failed),
        refresh=lambda: shown.append("drawn"),
    )
    queue: Any = SimpleNamespace(ended=lambda: ["a"] * 5, failed=lambda: {2: "x", 7: "y"})
    runner._advance(bar, queue)
    assert bar.n == 7 and shown == [2, "drawn"]
    queue.failed = dict
    runner._advance(bar, queue)
    assert bar.n == 5 and shown == [2, "drawn", "drawn"]


def test_failed_trials_are_said_by_slot_in_order() -> None:
    queue: Any = SimpleNamespace(failed=lambda: {7: "late", 0: "first", 2: "next"}, slots=9)
    with pytest.raises(Incomplete) as error:
        runner._check_complete(queue)
    assert str(error.value) == (
        "3 of 9 failed; the same command tries them again"
        "\n  trial of slot 0: first\n  trial of slot 2: next\n  trial of slot 7: late"
    )
    queue.failed = dict
    runner._check_complete(queue)
