"""Pruning: trials that are worse than the rest are given up while their last step still trains."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from optuna import Study
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.trial import FrozenTrial, Trial

from interventions.base import INTERVENTIONS, Intervention
from interventions.callbacks import Callback
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM
from sweeps.study.attributes import SLOT
from sweeps.study.objectives import Objective, finite, objectives_in_words
from sweeps.study.options import NONE, PRUNE_EVERY
from tracking import lifecycle
from tracking.chain import Chain
from tracking.checkpoints.store import Checkpoints
from tracking.plan import Plan

_TRIALS_BEFORE_PRUNING = 4  # a median of fewer says little
_REDUCTION = 3  # of trials from one of Hyperband's rungs to the next


class Pruned(lifecycle.Stopped):
    """The pruner gave a trial up."""


class SlotHyperband(HyperbandPruner):
    """Hyperband whose brackets go by a trial's slot.

    Optuna's go by its number, which is another one where a trial was lost with its process and run
    again. Within a bracket the lost trial's reports still compete, and how many training steps the
    longest trial has is read from those that were complete when a process first looked; so a study
    that was killed may give up other trials, of the same values.
    """

    def _get_bracket_id(self, study: Study, trial: FrozenTrial) -> int:
        by_slot = copy.copy(trial)
        by_slot.number = trial.user_attrs.get(SLOT, trial.number)
        return super()._get_bracket_id(study, by_slot)


def make_pruner(name: str, interval: int = PRUNE_EVERY) -> BasePruner:
    """Return the pruner of that name.

    Args:
        name: "median", which gives up a trial that is worse than the median of the rest after the
            same number of training steps; "hyperband", which gives up two of three trials after
            ``interval`` steps, two of three of the rest after three times as many, and so on, in
            brackets that begin later and later; or "none".
        interval: training steps between two looks.
    """
    if name == "median":
        return MedianPruner(n_startup_trials=_TRIALS_BEFORE_PRUNING)
    if name == "hyperband":
        return SlotHyperband(min_resource=interval, reduction_factor=_REDUCTION)
    return NopPruner()


def check_pruner(name: str, objectives: Sequence[Objective], last_step: type[Intervention]) -> None:
    """Check that a study has what its pruner needs: a value before a trial's end.

    Raises:
        InvalidInput: there are several objectives, or one that compares both orders; or the last
            step reports no intermediate models.
    """
    if name == NONE:
        return
    if len(objectives) > 1 or objectives[0].measure:
        raise InvalidInput(
            f"pruner={name} needs one objective, a criterion of one order, but got"
            f" {objectives_in_words(objectives)}"
        )
    if not last_step.reports:
        reporting = ", ".join(step for step, cls in INTERVENTIONS.all().items() if cls.reports)
        raise InvalidInput(
            f"pruner={name}: {last_step.name}, the last step, reports nothing before its end;"
            f" {reporting} do"
        )


def pruning_callback(
    trial: Trial,
    plan: Plan,
    objective: Objective,
    interval: int,
    checkpoints: Checkpoints,
    items: int = 0,
) -> Callback:
    """Return a callback that measures intermediate models and lets the pruner decide.

    It raises Pruned where the pruner gives the trial up.

    Args:
        trial: is told the values.
        plan: of the trial's run; only models of its last step are measured.
        objective: to measure.
        interval: training steps between two measurements.
        checkpoints: the cache, which has the base model's answers or gets them.
        items: the most of the objective that a look measures; 0: as many as the run does.
    """
    if items:
        limit = min(items, plan.settings.limit or items)
        plan = replace(plan, settings=replace(plan.settings, limit=limit))
    data: list[Data] = []

    def measure_and_decide(step: Intervention, training_steps: int, lm: LM) -> None:
        is_last_step = step is plan.composition[-1]
        if not is_last_step or training_steps % interval:
            return
        if not data:
            # made when first needed: the base model has to answer questions for it
            data.append(Chain(plan, checkpoints).data)
        value = measure(lm, data[0], [objective.criterion])[objective.criterion].value
        trial.report(finite(value), training_steps)
        if trial.should_prune():
            raise Pruned(
                f"given up after {training_steps} training steps: {objective.name} was {value:.4g}"
            )

    return measure_and_decide
