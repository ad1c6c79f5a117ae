"""One trial: the runs of its orders, and what it shares with other trials and with grids."""

import pytest
from mlflow.entities import Run

from sweeps.grid.runner import run_grid
from sweeps.grid.spec import CompositionGrid
from sweeps.study.runner import run_study
from tests.sweeps.small_testbed import grid_jobs
from tests.sweeps.study.conftest import Applied
from tests.sweeps.study.small_study import (
    RATES,
    SPEC,
    final_runs,
    study_runs,
    study_spec,
    trial_runs,
)
from tracking import schema
from tracking.checkpoints.store import Checkpoints
from tracking.settings import Settings

NEVER = Settings(split="validation", checkpoints="none", recompress="never")


@pytest.mark.usefixtures("four_rates")
def test_trials_share_prefixes_and_values_with_grids(cache: Checkpoints, applied: Applied) -> None:
    """The grid has applied all four; the study applies one of them again, to test it."""
    jobs = grid_jobs(f"ga(samples=4, last_layers=1, lr={list(RATES)})", (1,), split="validation")
    run_grid(CompositionGrid("grid", jobs), cache)
    assert len(applied.steps) == 4
    applied.steps.clear()
    run_study(study_spec(), cache)
    assert len(trial_runs()) == 4 and len(applied.steps) == 1
    prefix = "wanda(samples=4, sparsity=0.5)"
    jobs = grid_jobs(f"{prefix}; {SPEC}", split="validation", recompress="never")
    run_grid(CompositionGrid("other", jobs), cache)
    applied.steps.clear()
    run_study(study_spec(f"{prefix} | {SPEC}", name="composed", settings=NEVER), cache)
    assert {step.name for step in applied.steps} == {"ga"}  # the checkpoint after Wanda was there


@pytest.mark.slow
def test_both_orders_are_run_where_they_are_compared(cache: Checkpoints) -> None:
    spec = study_spec(
        "wanda(samples=4) | ft(steps=2, layers=(1,))",
        objective="order_sensitivity:edit_success,order_free_error:edit_locality",
        settings=NEVER,
        space="default",
        sampler="random",
        trials=2,
    )
    conclusion = run_study(spec, cache).conclusion
    by_trial: dict[str, dict[str, Run]] = {}
    for run in trial_runs():
        by_trial.setdefault(run.data.tags[schema.TRIAL], {})[run.data.params["step1"]] = run
    assert [set(runs) for runs in by_trial.values()] == [{"wanda", "ft"}] * 2
    for trial in conclusion.trials:
        runs = by_trial[str(trial.number)]
        forward, backward = runs["wanda"].data, runs["ft"].data
        assert forward.params["ft.lr"] == backward.params["ft.lr"]
        success, locality = (
            [forward.metrics[name], backward.metrics[name]]
            for name in ("edit_success", "edit_locality")
        )
        assert trial.values == pytest.approx([abs(success[0] - success[1]), 1 - max(locality)])
    assert len(conclusion.test_runs) == 2 == len(final_runs())


@pytest.mark.slow
def test_a_trial_that_breaks_a_constraint_is_not_chosen_though_it_dominates(
    cache: Checkpoints,
) -> None:
    """The more weights are pruned, the fewer bits are left: the sparsest dominates."""
    options = {
        "objective": "sparsity:max,average_bits:min",
        "space": "default",
        "sampler": "random",
        "trials": 3,
    }
    free = run_study(study_spec("wanda(samples=4)", name="free", **options), cache).conclusion
    sparsities = sorted(trial.values[0] for trial in free.trials)
    assert [trial.values[0] for trial in free.best] == [sparsities[-1]]
    bound = f"sparsity<{sparsities[-1] - 1e-6:.8f}"
    spec = study_spec("wanda(samples=4)", constraint=bound, **options)
    conclusion = run_study(spec, cache).conclusion
    assert sorted(trial.values[0] for trial in conclusion.trials) == pytest.approx(sparsities)
    assert [trial.values[0] for trial in conclusion.best] == [sparsities[-2]]
    assert conclusion.chosen is not None and conclusion.chosen in conclusion.best
    (best,) = study_runs(f" and tags.`{schema.BEST}` = 'true'")
    assert best.data.metrics["sparsity"] == pytest.approx(sparsities[-2])
