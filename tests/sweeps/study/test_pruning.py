"""Trials that are given up early, and models that are measured while they learn."""

import dataclasses
from types import SimpleNamespace
from typing import cast

import optuna
import pytest
from optuna.trial import Trial

from interventions.base import Intervention
from interventions.callbacks import watched
from interventions.composition import Composition, apply
from interventions.criteria.base import measure
from interventions.data.testbed import MODEL
from interventions.editing.ft import FT
from interventions.errors import InvalidInput
from interventions.lm import LM
from sweeps.study.objectives import Objective
from sweeps.study.pruning import Pruned, check_pruner, make_pruner, pruning_callback
from sweeps.study.runner import run_study
from tests.sweeps.small_testbed import small_testbed
from tests.sweeps.study.small_study import study_runs, study_spec, trial_runs
from tracking import query, schema
from tracking.checkpoints.store import Checkpoints
from tracking.plan import Plan, RunContext
from tracking.settings import Settings

TRIALS = 10
OPTIONS = {
    "objective": "edit_success:max",
    "space": "default",
    "sampler": "random",
    "pruner": "median",
    "prune_every": 6,
    "trials": TRIALS,
}


@pytest.mark.slow
def test_what_is_worse_than_half_of_the_rest_is_given_up_and_no_query_for_finished_runs_sees_it(
    cache: Checkpoints,
) -> None:
    spec = study_spec("ft(steps=24, layers=(1, 2, 3, 4))", **OPTIONS)
    conclusion = run_study(spec, cache).conclusion
    pruned = [trial for trial in conclusion.trials if trial.state.name == "PRUNED"]
    assert pruned and len(trial_runs()) == TRIALS - len(pruned)
    for trial in conclusion.trials:
        assert set(trial.intermediate_values) <= {6, 12, 18, 24}
    # a trial that is worse at its last look is given up before it is measured as a run
    assert min(trial.last_step or 99 for trial in pruned) < 24
    killed = study_runs(status="KILLED")
    numbers = {int(run.data.tags[schema.TRIAL]) for run in killed}
    assert numbers == {trial.number for trial in pruned}
    assert all(run.data.tags[schema.PRUNED].startswith("given up after ") for run in killed)
    is_finished = f"tags.`{schema.SWEEP}` = 'mine' and attributes.status = 'FINISHED'"
    assert len(query.compositions(filter=is_finished)) == TRIALS - len(pruned) + 1
    again = run_study(study_spec("ft(steps=24, layers=(1, 2, 3, 4))", **OPTIONS), cache)
    assert again.ended_before == TRIALS


@pytest.mark.parametrize("name", ["ga", "gd", "rmu", "ft", "lora"])
def test_a_model_that_is_measured_while_it_learns_ends_as_one_that_is_not(name: str) -> None:
    data = dataclasses.replace(small_testbed(), base_answers=None)
    sizes = {"ga": "samples=8", "gd": "samples=8, retain_batch=2", "rmu": "steps=2, batch=2"}
    (step,) = Composition.parse(f"{name}({sizes.get(name, 'steps=2')})")
    assert step.reports
    reported: list[int] = []

    def look(reporter: Intervention, training_steps: int, lm: LM) -> None:
        assert reporter is step
        reported.append(training_steps)
        measure(lm, data, ["edit_success", "edit_locality"])

    key = "0123456789abcdef" * 2
    alone = apply(step, LM.load(MODEL), data, key).fingerprint()
    with watched(look):
        assert apply(step, LM.load(MODEL), data, key).fingerprint() == alone
    assert reported == [1, 2]


class Recorder:
    """A trial that records what it is told, and is given up after so many reports."""

    def __init__(self, reports: int) -> None:
        self.reported: dict[int, float] = {}
        self._reports = reports

    def report(self, value: float, step: int) -> None:
        self.reported[step] = value

    def should_prune(self) -> bool:
        return len(self.reported) >= self._reports


def test_the_last_step_is_measured_at_every_interval_until_the_trial_is_given_up(
    cache: Checkpoints,
) -> None:
    context = RunContext(Settings(split="validation", checkpoints="none"))
    plan = context.plan(Composition.parse("ga(samples=8) | ft(steps=4)"))
    trial = Recorder(reports=2)
    # measured with the base model's answers, which the data do not have by themselves
    objective = Objective("edit_preservation", "maximize")
    callback = pruning_callback(cast(Trial, trial), plan, objective, 2, cache)
    first, last = plan.composition
    lm = LM.load(MODEL)
    callback(first, 2, lm)
    callback(last, 1, lm)
    assert trial.reported == {}
    callback(last, 2, lm)
    assert trial.reported == {2: 1.0}  # the base model preserves all its answers
    callback(last, 3, lm)
    with pytest.raises(Pruned, match="given up after 4 training steps: edit_preservation was 1"):
        callback(last, 4, lm)


@pytest.mark.parametrize(
    ("items", "limit", "most"), [(0, 0, 0), (0, 7, 7), (5, 0, 5), (5, 7, 5), (7, 5, 5)]
)
def test_a_look_measures_no_more_items_than_the_run_does(
    items: int, limit: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []

    def chain(plan: Plan, checkpoints: Checkpoints) -> SimpleNamespace:
        plans.append(plan)
        return SimpleNamespace(data=None)

    scores = {"wmdp": SimpleNamespace(value=0.5)}
    monkeypatch.setattr("sweeps.study.pruning.Chain", chain)
    monkeypatch.setattr("sweeps.study.pruning.measure", lambda *_: scores)
    plan = RunContext(Settings(limit=limit, checkpoints="none")).plan(Composition.parse("ft"))
    trial, objective = cast(Trial, Recorder(reports=9)), Objective("wmdp", "minimize")
    callback = pruning_callback(trial, plan, objective, 2, cast(Checkpoints, None), items)
    callback(plan.composition[-1], 2, cast(LM, None))
    assert [plan.settings.limit for plan in plans] == [most]


def test_the_median_of_four_trials_is_waited_for() -> None:
    def is_given_up(finished: int, value: float) -> bool:
        study = optuna.create_study(direction="maximize", pruner=make_pruner("median"))
        for _ in range(finished):
            trial = study.ask()
            trial.report(0.5, 2)
            study.tell(trial, 0.5)
        trial = study.ask()
        trial.report(value, 2)
        return trial.should_prune()

    assert not is_given_up(3, 0.1) and is_given_up(4, 0.1) and not is_given_up(4, 0.9)
    assert isinstance(make_pruner("none"), optuna.pruners.NopPruner)


def test_a_pruner_needs_one_objective_of_one_order() -> None:
    for objectives in (
        [Objective("edit_success", "maximize"), Objective("edit_locality", "maximize")],
        [Objective("edit_success", "minimize", "order_sensitivity")],
    ):
        with pytest.raises(InvalidInput, match="pruner=median needs one objective"):
            check_pruner("median", objectives, FT)
        check_pruner("none", objectives, FT)
    check_pruner("median", [Objective("edit_success", "maximize")], FT)
