"""Grids with merges: branches are shared, and what was interrupted goes on."""

from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from sweeps.grid.jobs import PrefixUse, count_applications
from sweeps.grid.runner import run_grid
from sweeps.grid.spec import CompositionGrid
from tests.sweeps.grid.conftest import Applied, MakeGrid
from tests.sweeps.grid.recorded import composition_runs, results
from tests.sweeps.small_testbed import grid_jobs
from tracking import schema, store
from tracking.chain import Chain
from tracking.checkpoints.store import Checkpoints

MERGES = "ft(steps=1); merge(ft(steps=1), ga(samples=4), how=['linear', 'ties'])"
SINGLE = (1,)
WITH_PAIRS = f"{MERGES}; magnitude"
# base; ft, 2 merges, magnitude; in both orders 2 x ft and merge, ft and magnitude, 2 x merge and it
ALL_RUNS = 1 + 4 + 4 + 2 + 4


@pytest.mark.slow
def test_every_prefix_and_branch_is_counted_and_applied_once(
    grid: MakeGrid, cache: Checkpoints, applied: Applied
) -> None:
    planned = grid(MERGES, lengths=SINGLE)
    shared, alone = count_applications(planned.jobs)
    result = run_grid(planned, cache)
    assert len(applied.keys) == len(set(applied.keys)) == result.applications
    # ft and ga, and each of two merges; alone, ft, and twice ft, ga and a merge
    assert (result.applications, shared, alone) == (4, 4, 7)
    applied.keys.clear()
    again = run_grid(grid(MERGES, lengths=SINGLE), cache)
    assert again.finished_now == 0 and applied.keys == []


def test_branches_are_worth_keeping_until_the_last_merge_of_them_is_done() -> None:
    jobs = grid_jobs("merge(ft(steps=1), ga(samples=4), how=['linear', 'ties'])", SINGLE)
    use = PrefixUse(jobs)
    branches = set(jobs[0].keys) - set(jobs[0].plan.keys)
    assert len(branches) == 2 and branches <= use.keys()
    assert not branches & set(use.done(jobs[0])) and branches <= use.keys()
    assert branches <= set(use.done(jobs[1])) and not branches & use.keys()


def interrupted(grid: CompositionGrid, cache: Checkpoints, applied: Applied, step: int) -> None:
    """Run a grid until it is interrupted at a step, then again."""

    def interrupt(name: str, count: int) -> None:
        if count == step:
            raise KeyboardInterrupt

    applied.keys.clear()
    applied.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        run_grid(grid, cache)
    (killed,) = composition_runs("KILLED")
    run_grid(grid, cache)
    assert len(composition_runs()) == len(grid.jobs)
    assert MlflowClient(store.uri()).get_run(killed.info.run_id).info.lifecycle_stage == "deleted"
    # what was interrupted is begun again, and nothing else
    twice = [key for key in applied.keys if applied.keys.count(key) > 1]
    assert twice == [applied.keys[step - 1]] * 2


@pytest.mark.parametrize("step", [3, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2, 4))])
def test_an_interrupted_grid_of_merges_goes_on_and_computes_nothing_twice(
    grid: MakeGrid, cache: Checkpoints, applied: Applied, step: int
) -> None:
    planned = grid(MERGES, lengths=SINGLE)
    interrupted(planned, cache, applied, step)
    weights = {
        run.data.tags[schema.KEY]: run.data.tags[schema.WEIGHTS] for run in composition_runs()
    }
    for job in planned.jobs:
        chain = Chain(job.plan, Checkpoints(cache.folder / "undisturbed"))
        assert chain.model_after(1).fingerprint() == weights[job.plan.keys[-1]]


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3, 5, 8, 11, 14])
def test_pairs_with_merges_end_as_undisturbed_ones(
    grid: MakeGrid, tmp_path: Path, applied: Applied, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    planned = grid(WITH_PAIRS)
    assert len(planned.jobs) == ALL_RUNS
    run_grid(planned, Checkpoints(tmp_path / "undisturbed"))
    expected = results()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/second.db")
    store.ensure_experiment()
    interrupted(planned, Checkpoints(tmp_path / "cache"), applied, step)
    pd.testing.assert_frame_equal(results(), expected)
