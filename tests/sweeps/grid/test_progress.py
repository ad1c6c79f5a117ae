"""How a grid's progress is counted and logged."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow.entities import Metric
from tqdm import tqdm

from sweeps.grid.jobs import Job
from sweeps.grid.progress import Progress, Tally
from sweeps.parent_run import ParentRun


class Parent:
    """A grid's parent run that records what is logged, at a time that the test sets.

    Attributes:
        seconds: since the machine was started, as ``time.monotonic`` gives them.
        batches: the metrics that were logged, by name, of each request.
        stamps: timestamp and step of the metrics.
        files: that were logged.
    """

    def __init__(self) -> None:
        self.seconds = 100.0
        self.batches: list[dict[str, float]] = []
        self.stamps: set[tuple[int, int]] = set()
        self.files: list[str] = []
        self.client = self

    def log_batch(self, run_id: str, metrics: Sequence[Metric]) -> None:
        assert run_id == "parent"
        self.batches.append({metric.key: metric.value for metric in metrics})
        self.stamps = {(metric.timestamp, metric.step) for metric in metrics}

    def log_artifact(self, run_id: str, path: str) -> None:
        self.files.append(path)


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Parent:
    stand_in = Parent()
    clock = SimpleNamespace(monotonic=lambda: stand_in.seconds, time=lambda: 1_700_000_000.25)
    monkeypatch.setattr("sweeps.grid.progress.time", clock)
    return stand_in


def progress_of(parent: Parent, tally: Tally) -> Progress:
    bar: tqdm[Any] = tqdm(total=tally.total, disable=True)
    return Progress(cast(ParentRun, parent), "parent", bar, tally)


def job(name: str) -> Job:
    return cast(Job, SimpleNamespace(name=name))


def test_the_parent_runs_metrics_are_the_tally(parent: Parent) -> None:
    tally = Tally(total=9, before=4)
    progress = progress_of(parent, tally)
    progress.add_cost({"apply": 2.0, "load": 0.5}, applied=3)
    progress.add_cost({"apply": 1.0}, applied=2)
    progress.job_done()
    progress.job_done()
    progress.job_failed(job("rtn"), "out of luck")
    progress.finish(Path("table.csv"))
    assert (tally.done, tally.failed) == (2, {"rtn": "out of luck"})
    assert parent.batches[-1] == {
        "sweep/total": 9.0,
        "sweep/done": 6.0,
        "sweep/failed": 1.0,
        "sweep/applications": 5.0,
        "sweep/seconds_apply": 3.0,
        "sweep/seconds_load": 0.5,
    }
    assert parent.stamps == {(1_700_000_000_250, 6)}
    assert parent.files == ["table.csv"]


def test_the_metrics_are_logged_after_the_first_job_and_then_not_before_ten_seconds_have_passed(
    parent: Parent,
) -> None:
    progress = progress_of(parent, Tally(total=9))
    for seconds in (5.0, 15.0, 15.5, 25.5, 26.0):
        parent.seconds = seconds
        progress.job_done()
    assert [batch["sweep/done"] for batch in parent.batches] == [1.0, 3.0, 5.0]


def test_a_failed_job_moves_the_progress_line_and_is_logged_as_a_done_one_is(
    parent: Parent,
) -> None:
    progress = progress_of(parent, Tally(total=3))
    progress.job_failed(job("rtn"), "out of luck")
    assert [batch["sweep/failed"] for batch in parent.batches] == [1.0]
    parent.seconds += 10.5
    progress.job_failed(job("ft"), "again")
    assert [batch["sweep/failed"] for batch in parent.batches] == [1.0, 2.0]
