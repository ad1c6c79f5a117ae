"""The samplers by name: what proposes the values that a trial tries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

_SLOTS = 100_003  # a prime above any number of trials: no two pairs of seed and slot share a state
_NUMPY_SEEDS = 2**32  # NumPy takes smaller ones


def make_sampler(name: str, seed: int, slot: int, trials: int) -> BaseSampler:
    """Return a sampler for one slot.

    What it draws depends on the slot and on the trials of the study that it is shown, not on the
    process that asks.

    Args:
        name: one of ``options.SAMPLERS``; of a grid nothing is left to draw.
        seed: of the study.
        slot: which trial it draws for, from 0.
        trials: how many the study is to have; the more, the longer TPE and the Gaussian process
            start at random, and the larger are the generations of NSGA-II.
    """
    slot_seed = (seed * _SLOTS + slot) % _NUMPY_SEEDS
    if name == "tpe":
        return TPESampler(seed=slot_seed, n_startup_trials=max(3, min(10, trials // 3)))
    if name == "gp":
        return GPSampler(seed=slot_seed, n_startup_trials=max(3, min(10, trials // 3)))
    if name == "nsga2":
        return NSGAIISampler(seed=slot_seed, population_size=max(4, min(50, trials // 4)))
    return RandomSampler(seed=slot_seed)


class HistorySampler(BaseSampler):
    """Draw one trial from a history of a study, whatever the study itself has by now.

    Samplers look at all trials of a study, in the order of their numbers. A slot that was lost with
    its process is filled by a trial of a later number, so that the study itself would give that
    slot, and those after it, other values than a study that was never killed. Here the history is
    a study in memory, whose numbers are the places in the list.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        history: Sequence[FrozenTrial],
        directions: Sequence[StudyDirection],
        write: Callable[[str, Any], None],
    ) -> None:
        """Take a sampler and what it is to see.

        Args:
            sampler: draws; used for one trial only.
            history: the trials that have ended before the one to draw, in order.
            directions: of the study's objectives.
            write: keeps, by name, what the sampler notes on the trial for later ones, such as its
                generation.
        """
        self._sampler, self._write = sampler, write
        self._past = optuna.create_study(directions=directions, sampler=RandomSampler())
        self._past.add_trials(history)
        self._past.ask()  # stands for the trial to draw

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that are drawn together, by the history."""
        return self._sampler.infer_relative_search_space(self._past, self._trial())

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values of the parameters that are drawn together, by the history."""
        values = self._sampler.sample_relative(self._past, self._trial(), search_space)
        for name, note in self._trial().system_attrs.items():
            self._write(name, note)
        return values

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a value of a parameter that is drawn by itself, by the history."""
        return self._sampler.sample_independent(
            self._past, self._trial(), param_name, param_distribution
        )

    def _trial(self) -> FrozenTrial:
        return self._past.get_trials(deepcopy=False)[-1]
