"""Which trial a study ends with: the best that meets the constraints; of several objectives, the best compromise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna import Study
from optuna._hypervolume import compute_hypervolume  # public only as a plot of its history
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweeps.study.trial_queue import ERROR, SLOT


def best(study: Study) -> list[FrozenTrial]:
    """The best trial, or the Pareto-optimal ones, of those that meet the constraints; none if none does."""
    found = study.best_trials if len(study.directions) > 1 else _single(study)
    return [trial for trial in found if SLOT in trial.user_attrs and ERROR not in trial.user_attrs]


def _single(study: Study) -> list[FrozenTrial]:
    try:
        return [study.best_trial]
    except ValueError:  # Optuna's way to say that there is none
        return []


def chosen(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> FrozenTrial | None:
    """Of Pareto-optimal trials the one nearest to the ideal: the best of every objective, each scaled to its range."""
    if not trials:
        return None
    values = losses(trials, directions)
    span = values.max(axis=0) - values.min(axis=0)
    scaled = (values - values.min(axis=0)) / np.where(span > 0, span, 1)
    return trials[int(np.linalg.norm(scaled, axis=1).argmin())]


def losses(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> np.ndarray:
    """(trials, objectives), each to be minimized."""
    signs = [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in directions]
    return np.array([trial.values for trial in trials]) * np.array(signs)


def hypervolume(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], reference: Sequence[float]
) -> float:
    """What the completed trials dominate, up to a reference point given in the objectives' own values."""
    signs = np.array(
        [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in directions]
    )
    bound = np.array(reference) * signs
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    inside = [row for row in losses(done, directions) if (row < bound).all()] if done else []
    return float(compute_hypervolume(np.array(inside), bound)) if inside else 0.0
