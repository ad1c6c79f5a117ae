"""Which trial a study ends with."""

from collections.abc import Sequence

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from sweeps.study.attributes import SLOT
from sweeps.study.selection import best_trials, choose, hypervolume

MINIMIZE, MAXIMIZE = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE


def completed(
    values: list[list[float]],
    directions: Sequence[StudyDirection] = (MINIMIZE, MAXIMIZE),
    violations: Sequence[float] | None = None,
) -> optuna.Study:
    """Return a study with trials of these values; a violation above 0 breaks its constraint."""
    study = optuna.create_study(directions=directions, sampler=RandomSampler(seed=0))
    for slot, row in enumerate(values):
        trial = study.ask()
        trial.set_user_attr(SLOT, slot)
        trial.set_constraint("bound", violations[slot] if violations else -1.0)
        study.tell(trial, row)
    return study


def test_the_best_are_pareto_optimal_and_meet_the_constraints_and_one_is_the_compromise() -> None:
    values = [[0.3, 1.0], [0.5, 1.0], [0.25, 0.9], [0.2, 0.2], [0.1, 0.05]]
    study = completed(values, violations=[0.1 - second for _, second in values])
    best = best_trials(study)
    assert [trial.number for trial in best] == [0, 2, 3]
    chosen = choose(best, study.directions)
    # scaled distances to the ideal (0.2, 1.0): 1, 0.52, 1
    assert chosen is not None and chosen.number == 2
    assert choose([], study.directions) is None
    assert best_trials(completed([[0.1, 0.0]], violations=[0.1])) == []


def test_a_trial_that_breaks_a_constraint_is_neither_best_nor_chosen_though_it_dominates() -> None:
    study = completed([[0.3, 0.8], [0.1, 0.9], [0.2, 0.7]], violations=[-0.1, 1e-9, 0.0])
    best = best_trials(study)
    assert [trial.number for trial in best] == [0, 2]
    chosen = choose(best, study.directions)
    assert chosen is not None and chosen.number in (0, 2)


@pytest.mark.parametrize(("direction", "number"), [(MINIMIZE, 2), (MAXIMIZE, 1)])
def test_of_one_objective_the_best_meets_the_constraints_too(
    direction: StudyDirection, number: int
) -> None:
    values = [[0.1], [0.5], [0.2], [0.9]]
    study = completed(values, [direction], violations=[1e-9, -0.1, 0.0, 1e-9])
    best = best_trials(study)
    assert [trial.number for trial in best] == [number]
    assert choose(best, study.directions) == best[0]
    assert best_trials(completed(values, [direction], violations=[1.0] * 4)) == []


def test_a_trial_that_another_command_put_in_is_not_the_studys() -> None:
    study = completed([[0.3, 0.8]])
    study.add_trial(optuna.create_trial(values=[0.1, 0.9]))
    assert 1 not in [trial.number for trial in best_trials(study)]


def test_the_hypervolume_is_the_area_that_is_dominated() -> None:
    """By hand: (1 - 0.5) x 0.8 and (1 - 0.25) x 0.4, less their intersection 0.5 x 0.4."""
    study = completed([[0.5, 0.8], [0.25, 0.4], [0.6, 0.7]])
    volume = hypervolume(study.trials, study.directions, (1, 0))
    assert volume == pytest.approx(0.4 + 0.3 - 0.2)
    assert hypervolume([], study.directions, (1, 0)) == 0


def test_the_hypervolume_ends_at_the_reference_and_leaves_out_what_was_not_completed() -> None:
    """By hand: 0.5 x 0.7 + 0.75 x 0.3 - 0.5 x 0.3; two trials lie beyond the reference."""
    study = completed([[0.5, 0.8], [0.25, 0.4], [1.2, 0.9], [0.1, 0.05]])
    study.tell(study.ask(), state=TrialState.PRUNED)
    volume = hypervolume(study.trials, study.directions, (1, 0.1))
    assert volume == pytest.approx(0.35 + 0.225 - 0.15)


def test_of_one_objective_a_strangers_better_trial_does_not_hide_the_studys_best() -> None:
    study = completed([[0.5], [0.4]], [MINIMIZE])
    study.add_trial(optuna.create_trial(value=0.1))
    assert [trial.number for trial in best_trials(study)] == [1]


def test_the_compromise_is_scaled_by_the_range_of_each_objective() -> None:
    """Scaled, the trials are (0, 1), (1, 0) and (0.6, 0.3): only the last is nearer than 1."""
    study = completed([[100.0, 1.0], [101.0, 0.0], [100.6, 0.3]], [MINIMIZE, MINIMIZE])
    chosen = choose(study.trials, study.directions)
    assert chosen is not None and chosen.number == 2


def test_trials_on_or_beyond_the_bound_dominate_nothing() -> None:
    study = completed([[1.0, 0.9], [0.5, 0.0], [3.0, 0.9], [2.0, -1.0]])
    assert hypervolume(study.trials, study.directions, (1, 0)) == 0


def test_one_broken_constraint_of_two_is_enough() -> None:
    study = optuna.create_study(directions=[MINIMIZE], sampler=RandomSampler(seed=0))
    for slot, (loss, second) in enumerate([(0.1, 0.5), (0.3, 0.0), (0.2, 1e-9)]):
        trial = study.ask()
        trial.set_user_attr(SLOT, slot)
        trial.set_constraint("first", -1.0)
        trial.set_constraint("second", second)
        study.tell(trial, loss)
    assert [trial.number for trial in best_trials(study)] == [1]


def test_without_constraints_every_trial_may_be_the_best() -> None:
    study = optuna.create_study(directions=[MINIMIZE], sampler=RandomSampler(seed=0))
    for slot, loss in enumerate((0.3, 0.1, 0.2)):
        trial = study.ask()
        trial.set_user_attr(SLOT, slot)
        study.tell(trial, loss)
    assert [trial.number for trial in best_trials(study)] == [1]
