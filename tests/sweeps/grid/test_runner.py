"""A grid in one process: nothing is applied twice."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from sweeps.cluster import Resources
from sweeps.grid import runner
from sweeps.grid.jobs import Job
from sweeps.grid.progress import Progress
from sweeps.grid.runner import run_grid
from tests.sweeps.grid.conftest import Applied, MakeGrid
from tests.sweeps.grid.recorded import composition_runs, parent_runs, results
from tracking import schema
from tracking.checkpoints.store import Checkpoints
from tracking.run import run as run_composition


def test_every_composition_is_one_run_under_one_parent_and_nothing_is_applied_twice(
    grid: MakeGrid, cache: Checkpoints, applied: Applied
) -> None:
    """15 compositions: 4 first steps, 10 second ones, 4 recompressions.

    The recompressions are those of Wanda's two levels before FT and GA.
    """
    result = run_grid(grid(), cache)
    (parent,) = parent_runs()
    runs = composition_runs()
    assert len(runs) == 15 == result.finished_now == result.runs
    assert (result.name, result.run_id) == ("mine", parent.info.run_id)
    assert {run.data.tags[schema.PARENT] for run in runs} == {parent.info.run_id}
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "mine")
    assert len(applied.keys) == len(set(applied.keys)) == result.applications == 4 + 10 + 4
    metrics = parent.data.metrics
    assert metrics["sweep/done"] == metrics["sweep/total"] == 15
    assert metrics["sweep/failed"] == 0
    assert metrics["sweep/applications"] == 18
    assert metrics["sweep/seconds_wall"] == result.seconds
    for part, seconds in result.seconds_by_part.items():
        assert metrics[f"sweep/seconds_{part}"] == seconds
    assert 0 < sum(result.seconds_by_part.values()) <= result.seconds
    names = {run.info.run_name for run in runs}
    assert {
        "base model",
        "ft(steps=1)",
        "wanda(sparsity=0.5, samples=4) → ft(steps=1) → again: wanda",
    } <= names
    table = pd.read_csv(
        download_artifacts(run_id=parent.info.run_id, artifact_path="compositions.csv")
    )
    assert set(table.run_id) == {run.info.run_id for run in runs}


def test_a_composition_comes_to_the_same_in_a_grid_and_alone(
    grid: MakeGrid, cache: Checkpoints, tmp_path: Path
) -> None:
    run_grid(grid(), cache)
    run_id = run_composition(
        "wanda(samples=4, sparsity=0.75) | ft(steps=1)", cache=Checkpoints(tmp_path / "other")
    )
    alone = MlflowClient().get_run(run_id).data
    composition = alone.params["composition"]
    (in_grid,) = [
        run.data for run in composition_runs() if run.data.params["composition"] == composition
    ]
    assert in_grid.tags[schema.KEY] == alone.tags[schema.KEY]
    assert {k: v for k, v in in_grid.params.items() if "checkpoints" not in k} == {
        k: v for k, v in alone.params.items() if "checkpoints" not in k
    }
    assert {k: v for k, v in in_grid.metrics.items() if not k.startswith("cost/")} == {
        k: v for k, v in alone.metrics.items() if not k.startswith("cost/")
    }
    assert sorted(artifact.path for artifact in MlflowClient().list_artifacts(run_id)) == [
        "checkpoints",
        "criteria.json",
        "items.json",
        "items.parquet",
    ]


def test_live_checkpoints_are_only_those_on_the_way(
    grid: MakeGrid, tmp_path: Path, applied: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no room for more, there are those of the steps before, and the one being written."""
    cache = Checkpoints(tmp_path / "cache", limit_gib=0)
    live_counts: list[int] = []

    def count_live(name: str, count: int) -> None:
        live_counts.append(sum(path.name in cache for path in cache.folder.iterdir()))

    applied.before = count_live
    with pytest.warns(UserWarning, match="over the cache's bound of 0 GiB"):
        result = run_grid(grid(lengths=(0, 1, 2, 3)), cache)
    assert 1 <= max(live_counts) <= 3
    assert result.applications == len(set(applied.keys))


def test_checkpoints_of_leaves_are_not_kept(grid: MakeGrid, cache: Checkpoints) -> None:
    whole = grid()
    run_grid(whole, cache)
    prefixes = {key for job in whole.jobs for key in job.prefixes[1:]}
    assert {path.name for path in cache.folder.iterdir() if path.name in cache} == prefixes


def test_a_damaged_checkpoint_is_computed_again_with_a_warning(
    grid: MakeGrid, cache: Checkpoints, applied: Applied
) -> None:
    run_grid(grid("ft(steps=1); ga(samples=4)"), cache)
    expected = results()
    (ft,) = {job.plan.keys[1] for job in grid("ft(steps=1)", lengths=(1,)).jobs}
    weights = cache.path(ft) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    for run in composition_runs():
        MlflowClient().delete_run(run.info.run_id)
    for scores in (cache.folder / "scores").iterdir():
        scores.unlink()
    with pytest.warns(UserWarning, match=f"checkpoint {ft} is damaged .*computed again"):
        run_grid(grid("ft(steps=1); ga(samples=4)"), cache)
    pd.testing.assert_frame_equal(results(), expected)


def test_with_workers_on_ray_what_is_missing_goes_to_them_and_nothing_is_run_here(
    grid: MakeGrid, cache: Checkpoints, applied: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_grid(grid("ft(steps=1)", lengths=(1,)), cache)
    applied.keys.clear()
    calls: list[tuple[Resources, list[str], Checkpoints]] = []

    def run_on_ray(
        resources: Resources, jobs: list[Job], progress: Progress, checkpoints: Checkpoints
    ) -> None:
        calls.append((resources, [job.name for job in jobs], checkpoints))

    monkeypatch.setattr(runner, "run_jobs_on_ray", run_on_ray)
    whole = grid("ft(steps=1); ga(samples=4)", lengths=(1,))
    resources = Resources(workers=2)
    result = run_grid(dataclasses.replace(whole, resources=resources), cache)
    assert calls == [(resources, ["ga(samples=4)"], cache)]
    assert applied.keys == [] and (result.runs, result.finished_before) == (2, 1)
