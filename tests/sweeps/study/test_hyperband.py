"""Hyperband gives up what is worse, by slots, and at looks of as many items as are asked for."""

from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from optuna.trial import Trial

from interventions.composition import Composition
from interventions.criteria.scores import Scores
from interventions.data.testbed import MODEL
from interventions.lm import LM
from sweeps.study import pruning
from sweeps.study.attributes import SLOT
from sweeps.study.objectives import Objective
from sweeps.study.pruning import Pruned, make_pruner, pruning_callback
from tracking.checkpoints.store import Checkpoints
from tracking.plan import RunContext
from tracking.settings import Settings


def serve(study: optuna.Study, slots: list[int], steps: int = 27) -> dict[int, int]:
    """Run a trial for each slot, whose values are better the later the slot; return its steps."""
    lasted = {}
    for slot in slots:
        trial = study.ask()
        trial.set_user_attr(SLOT, slot)
        for step in range(1, steps + 1):
            trial.report(float(slot % 7), step)
            lasted[slot] = step
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, float(slot % 7))
    return lasted


def study_of(pruner: optuna.pruners.BasePruner) -> optuna.Study:
    return optuna.create_study(study_name="mine", direction="maximize", pruner=pruner)


def test_worse_trials_are_given_up_and_the_best_go_to_the_end() -> None:
    lasted = serve(study_of(make_pruner("hyperband", 1)), list(range(60)))
    assert len(set(lasted.values())) > 2
    best = [steps for slot, steps in lasted.items() if slot % 7 == 6]
    worst = [steps for slot, steps in lasted.items() if slot % 7 == 0 and slot > 20]
    assert min(best) == 27 and sum(worst) / len(worst) < 20
    assert sum(lasted.values()) < 0.75 * 27 * 60


def test_a_trial_that_was_run_again_under_another_number_is_in_the_bracket_of_its_slot() -> None:
    straight = serve(study_of(make_pruner("hyperband", 1)), list(range(30)))
    study = study_of(make_pruner("hyperband", 1))
    again = serve(study, list(range(10)))
    for _ in range(5):  # lost with their process: numbers 10 to 14
        lost = study.ask()
        lost.set_user_attr(SLOT, 10)
        study.tell(lost, state=optuna.trial.TrialState.FAIL)
    again |= serve(study, list(range(10, 30)))
    assert again == straight


def test_nothing_is_given_up_before_as_many_steps_as_are_between_two_looks() -> None:
    lasted = serve(study_of(make_pruner("hyperband", 9)), list(range(40)))
    assert min(lasted.values()) >= 9


@pytest.mark.parametrize(("asked", "limit", "items"), [(0, 0, 50), (7, 0, 7), (9, 5, 5), (0, 5, 5)])
def test_a_look_measures_as_many_items_as_are_asked_for_and_no_more_than_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int, limit: int, items: int
) -> None:
    settings = Settings(split="validation", checkpoints="none", limit=limit)
    plan = RunContext(settings).plan(Composition.parse("ft(steps=4)"))
    seen: list[int] = []

    def measured(lm: LM, data: Any, names: list[str]) -> dict[str, Scores]:
        seen.append(len(data.edits))
        return {name: Scores(0.5, 0.1, {}) for name in names}

    class Recorder:
        def report(self, value: float, step: int) -> None:
            assert (value, step) == (0.5, 2)

        def should_prune(self) -> bool:
            return True

    monkeypatch.setattr(pruning, "measure", measured)
    objective = Objective("edit_success", "maximize")
    callback = pruning_callback(
        cast(Trial, Recorder()), plan, objective, 2, Checkpoints(tmp_path), asked
    )
    with pytest.raises(Pruned):
        callback(plan.composition[-1], 2, LM.load(MODEL))
    assert seen == [min(items, len(plan.data.edits))]
