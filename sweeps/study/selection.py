"""Which trial a study ends with: the best that meets the constraints, or the best compromise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna import Study
from optuna._hypervolume import compute_hypervolume  # public only as a plot of its history
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweeps.study.attributes import ERROR, SLOT


def best_trials(study: Study) -> list[FrozenTrial]:
    """Return the best trial, or the Pareto-optimal ones, of those that meet the constraints.

    A trial that violates a constraint counts for nothing, however good its objectives are.

    Returns:
        The trials by slot; none if none meets the constraints. Of several that are best by one
        objective, the first slot's: their numbers depend on what was lost and run again.
    """
    trials = study.best_trials if len(study.directions) > 1 else _feasible(study)
    valid = [
        trial for trial in trials if SLOT in trial.user_attrs and ERROR not in trial.user_attrs
    ]
    valid.sort(key=lambda trial: int(trial.user_attrs[SLOT]))
    if valid and len(study.directions) == 1:
        return [valid[int(losses(valid, study.directions)[:, 0].argmin())]]
    return valid


def _feasible(study: Study) -> list[FrozenTrial]:
    """Return the completed trials that meet the constraints."""
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in completed if max(trial.constraints.values(), default=0.0) <= 0]


def choose(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> FrozenTrial | None:
    """Return the compromise among Pareto-optimal trials; None if there are none.

    It is the trial nearest to the ideal point, which has the best value of every objective; each
    objective is scaled to its range over the trials.
    """
    if not trials:
        return None
    values = losses(trials, directions)
    span = values.max(axis=0) - values.min(axis=0)
    scaled = (values - values.min(axis=0)) / np.where(span > 0, span, 1)
    return trials[int(np.linalg.norm(scaled, axis=1).argmin())]


def losses(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> np.ndarray:
    """Return the objectives of trials so that each is to be minimized; (trials, objectives)."""
    return _to_minimize([trial.values for trial in trials], directions)


def hypervolume(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], reference: Sequence[float]
) -> float:
    """Return the volume that the completed trials dominate.

    Args:
        trials: of a study; only those that were completed count.
        directions: of its objectives.
        reference: the point up to which it is measured, in the objectives' own values.
    """
    bound = _to_minimize(reference, directions)
    completed = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not completed:
        return 0.0
    # Optuna takes none beyond the bound; one that lies on it dominates no volume
    inside = np.minimum(losses(completed, directions), bound)
    return float(compute_hypervolume(inside, bound))


def _to_minimize(
    values: Sequence[float] | Sequence[Sequence[float]], directions: Sequence[StudyDirection]
) -> np.ndarray:
    is_maximized = [direction == StudyDirection.MAXIMIZE for direction in directions]
    return np.where(is_maximized, -np.array(values), values)
