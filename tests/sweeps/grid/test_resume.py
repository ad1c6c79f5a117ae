"""A grid that was interrupted, failed in part, or grew: the same command does what is missing."""

import os
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from sweeps.failures import Incomplete
from sweeps.grid.runner import run_grid
from tests.sweeps.grid.conftest import Applied, MakeGrid
from tests.sweeps.grid.recorded import composition_runs, parent_runs, results
from tracking import schema, store
from tracking.checkpoints.store import Checkpoints


def test_the_same_again_runs_nothing(grid: MakeGrid, cache: Checkpoints, applied: Applied) -> None:
    run_grid(grid(), cache)
    run_ids = {run.info.run_id for run in composition_runs()}
    applied.keys.clear()
    result = run_grid(grid(), cache)
    assert (result.finished_now, result.finished_before) == (0, 15)
    assert applied.keys == []
    assert {run.info.run_id for run in composition_runs()} == run_ids
    assert len(parent_runs()) == 1


def test_a_grid_of_that_name_with_more_in_it_goes_on(
    grid: MakeGrid, cache: Checkpoints, applied: Applied
) -> None:
    run_grid(grid("ft(steps=1); ga(samples=4)"), cache)
    assert len(composition_runs()) == 5
    result = run_grid(grid(), cache)
    assert (result.finished_before, result.finished_now) == (5, 10)
    assert len(applied.keys) == len(set(applied.keys)) == 4 + 10 + 4


def test_one_that_fails_does_not_stop_the_others_and_is_tried_again(
    grid: MakeGrid, cache: Checkpoints, applied: Applied, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail_if_unlucky(name: str, count: int) -> None:
        if name.startswith("ga") and len(applied.keys) > 1 and applied.keys[-1] in unlucky_keys:
            raise RuntimeError("out of luck")

    (unlucky_job,) = [
        job for job in grid().jobs if [step.name for step in job.plan.composition] == ["ft", "ga"]
    ]
    unlucky_keys = {unlucky_job.plan.keys[-1]}
    applied.before = fail_if_unlucky
    with pytest.raises(
        Incomplete, match=r"1 of 15 failed; .*\n  ft\(steps=1\) → ga\(samples=4\): out of luck"
    ):
        run_grid(grid(), cache)
    (failed,) = composition_runs("FAILED")
    assert failed.data.tags[schema.NOTE] == "out of luck"
    assert len(composition_runs()) == 14
    assert parent_runs()[0].info.status == "FAILED"
    assert parent_runs()[0].data.metrics["sweep/failed"] == 1
    unlucky_keys.clear()
    result = run_grid(grid(), cache)
    assert (result.finished_before, result.finished_now) == (14, 1)
    assert len(composition_runs()) == 15 and composition_runs("FAILED") == []
    assert parent_runs()[0].info.status == "FINISHED"


@pytest.mark.parametrize(
    "interrupted_step",
    [1, pytest.param(6, marks=pytest.mark.slow), pytest.param(13, marks=pytest.mark.slow)],
)
def test_an_interrupted_grid_goes_on_and_ends_as_an_undisturbed_one(
    grid: MakeGrid,
    tmp_path: Path,
    applied: Applied,
    monkeypatch: pytest.MonkeyPatch,
    interrupted_step: int,
) -> None:
    def interrupt(name: str, count: int) -> None:
        if count == interrupted_step:
            raise KeyboardInterrupt

    run_grid(grid(), Checkpoints(tmp_path / "undisturbed"))
    expected = results()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/second.db")
    store.ensure_experiment()
    applied.keys.clear()
    applied.before = interrupt
    cache = Checkpoints(tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        run_grid(grid(), cache)
    (killed,) = composition_runs("KILLED")
    assert parent_runs()[0].info.status == "KILLED"
    finished = len(composition_runs())
    result = run_grid(grid(), cache)
    assert result.finished_before == finished and len(composition_runs()) == 15
    assert composition_runs("KILLED") == [] and composition_runs("RUNNING") == []
    assert MlflowClient(store.uri()).get_run(killed.info.run_id).info.lifecycle_stage == "deleted"
    pd.testing.assert_frame_equal(results(), expected)


def test_a_grid_that_is_being_run_is_not_run_twice(
    grid: MakeGrid, cache: Checkpoints, applied: Applied
) -> None:
    def start_second(name: str, count: int) -> None:
        if count == 1:
            with pytest.raises(
                ValueError, match=r"'mine' is being run on this machine: wait for it"
            ):
                run_grid(grid(), cache)
            with pytest.raises(
                ValueError, match=rf"'mine' is being run by process {os.getpid()} on "
            ):
                run_grid(grid(), Checkpoints(cache.folder.with_name("elsewhere")))

    applied.before = start_second
    run_grid(grid("ft(steps=1); ga(samples=4)"), cache)
    assert len(composition_runs()) == 5


def test_the_run_that_mlflow_run_made_is_the_parent_and_the_next_is_under_it(
    grid: MakeGrid, cache: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(store.uri())
    first, second = (client.create_run(store.ensure_experiment()).info.run_id for _ in range(2))
    monkeypatch.setenv("MLFLOW_RUN_ID", first)
    run_grid(grid("ft(steps=1); ga(samples=4)"), cache)
    monkeypatch.setenv("MLFLOW_RUN_ID", second)
    run_grid(grid(), cache)
    (parent,) = parent_runs()
    assert parent.info.run_id == first
    assert client.get_run(second).data.tags[schema.PARENT] == first
    assert client.get_run(second).info.run_name == "mine (again)"
    assert {run.data.tags[schema.PARENT] for run in composition_runs()} == {first}
    assert len(composition_runs()) == 15
