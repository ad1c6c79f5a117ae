"""The samplers by name: what proposes the values that a trial tries."""

from __future__ import annotations

from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

_SLOTS = 100_003  # a prime above any number of trials: no two pairs of seed and slot share a state
_NUMPY_SEEDS = 2**32


def make_sampler(name: str, seed: int, slot: int, trials: int) -> BaseSampler:
    """Return a sampler for one slot.

    What it draws depends on the slot and on the trials before it, not on the process that asks.

    Args:
        name: one of ``options.SAMPLERS``; of a grid nothing is left to draw.
        seed: of the study.
        slot: which trial it draws for, from 0.
        trials: how many the study is to have; the more, the longer TPE starts at random and the
            larger are the generations of NSGA-II.
    """
    slot_seed = (seed * _SLOTS + slot) % _NUMPY_SEEDS
    if name == "tpe":
        return TPESampler(seed=slot_seed, n_startup_trials=max(3, min(10, trials // 3)))
    if name == "nsga2":
        return NSGAIISampler(seed=slot_seed, population_size=max(4, min(50, trials // 4)))
    return RandomSampler(seed=slot_seed)
