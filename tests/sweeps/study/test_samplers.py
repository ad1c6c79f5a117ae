"""The samplers by name."""

from typing import Any

import optuna
import pytest

from sweeps.study.options import SAMPLERS
from sweeps.study.samplers import make_sampler


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_has_a_name(name: str) -> None:
    sampler = make_sampler(name, 123_456_789, 0, 12)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    study.optimize(
        lambda trial: (trial.suggest_float("x", 0, 1), trial.suggest_int("n", 1, 3)), n_trials=6
    )
    assert len(study.trials) == 6


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_drawn_depends_on_the_seed_and_on_the_slot(name: str) -> None:
    def draw(seed: int, slot: int) -> float:
        study = optuna.create_study(sampler=make_sampler(name, seed, slot, 12))
        return study.ask().suggest_float("x", 0, 1)

    assert draw(0, 0) == draw(0, 0)
    assert len({draw(seed, slot) for seed in (0, 1) for slot in (0, 1)}) == 4


@pytest.mark.parametrize(("trials", "random", "population"), [(6, 3, 4), (24, 8, 6), (400, 10, 50)])
def test_a_longer_study_starts_with_more_random_trials_and_has_larger_generations(
    trials: int, random: int, population: int
) -> None:
    assert make_sampler("tpe", 0, 0, trials)._n_startup_trials == random  # type: ignore[attr-defined]
    sampler = make_sampler("nsga2", 0, 0, trials)
    assert sampler._population_size == population  # type: ignore[attr-defined]


@pytest.mark.parametrize(("trials", "drawn"), [(3, 3), (12, 4), (15, 5), (30, 10), (99, 10)])
def test_a_third_of_the_trials_but_at_least_three_and_at_most_ten_are_drawn_at_random(
    trials: int, drawn: int
) -> None:
    sampler: Any = make_sampler("gp", 0, 0, trials)
    assert sampler._n_startup_trials == drawn
