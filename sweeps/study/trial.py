"""One trial of a study: a run of its composition, or a run of each order if these are compared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from optuna.trial import Trial, TrialState

from interventions.callbacks import Callback, watched
from interventions.composition import Composition
from sweeps.retry import StoreAway, patiently, without_waiting
from sweeps.study.attributes import ERROR, RUNS, SLOT
from sweeps.study.objectives import RESTORED, finite
from sweeps.study.options import NONE
from sweeps.study.pruning import Pruned, pruning_callback
from sweeps.study.spec import StudySpec
from sweeps.study.study_runs import StudyRuns
from sweeps.study.trial_queue import TrialQueue
from tracking import lifecycle, schema
from tracking.plan import Plan
from tracking.run import track_member

_TIMED = ("apply", "measure", "load", "log")


def run_trial(trial: Trial, queue: TrialQueue, spec: StudySpec, study_runs: StudyRuns) -> None:
    """Run a claimed trial, and tell the study its values.

    A trial that fails does not stop the study. Whatever ends this process (a signal, a store that
    stays away) lets go of the trial, so that another process may take it.

    Raises:
        StoreAway: the store did not come back.
    """
    tell = queue.study.tell
    try:
        runs = _run_orders(trial, spec, study_runs)
        _take_over_reports(trial, queue)
        for run in runs:
            _check_judged(run, spec)
        paths = [run.path for run in runs]
        values = [finite(objective.from_paths(*paths)) for objective in spec.objectives]
        for constraint in spec.constraints:
            trial.set_constraint(str(constraint), constraint.violation(paths[0][-1]))
        seconds = {part: sum(run.seconds.get(part, 0.0) for run in runs) for part in _TIMED}
        run_ids = [run.run_id for run in runs]
        trial.set_user_attr(RUNS, {"runs": run_ids, "seconds": seconds})
    except Pruned as error:
        _tag_pruned(study_runs, trial.number, error)
        tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
    except (KeyboardInterrupt, lifecycle.Terminated, StoreAway):
        # the storage may be what is away
        with contextlib.suppress(Exception), without_waiting():
            tell(trial, state=TrialState.FAIL)
        raise
    except Exception as error:
        trial.set_user_attr(ERROR, lifecycle.one_line(error))
        tell(trial, state=TrialState.FAIL, skip_if_finished=True)
    else:
        tell(trial, values, skip_if_finished=True)


def _take_over_reports(trial: Trial, queue: TrialQueue) -> None:
    """Report what earlier attempts at the slot with the same values did and this one did not.

    Where such an attempt was killed after its model was measured, nothing is left to train here,
    and so nothing to report; the pruner compares later trials to these reports.
    """
    attempts = queue.attempts(trial.user_attrs[SLOT])
    reported = {
        step
        for attempt in attempts
        if attempt.number == trial.number
        for step in attempt.intermediate_values
    }
    for attempt in attempts:
        if attempt.params != trial.params:
            continue
        for step, value in attempt.intermediate_values.items():
            if step not in reported:
                trial.report(value, step)
                reported.add(step)


@dataclass(frozen=True)
class _TrialRun:
    """The finished run of one order: its criteria after every step, and its seconds."""

    run_id: str
    path: Sequence[Mapping[str, float]]
    seconds: Mapping[str, float]


def _run_orders(trial: Trial, spec: StudySpec, study_runs: StudyRuns) -> list[_TrialRun]:
    """Run a trial's composition as it is written, and in the other order if that is compared."""
    steps = spec.space.composition(trial)
    is_tuned = [spec.space.is_tuned(step_index) for step_index in range(len(steps))]
    slot = trial.user_attrs[SLOT]
    plan = spec.context.plan(steps)
    callback = None
    if spec.request.pruner != NONE:
        callback = pruning_callback(
            trial,
            plan,
            spec.objectives[0],
            spec.request.prune_every,
            study_runs.checkpoints,
            spec.request.prune_items,
        )
    keep = _shared_checkpoints(plan, is_tuned, spec.request.space)
    runs = [_run(plan, spec, study_runs, f"trial-{slot}", trial.number, keep, callback)]
    if spec.both_orders:
        other_plan = spec.context.plan(Composition(reversed(steps)))
        keep = _shared_checkpoints(other_plan, is_tuned[::-1], spec.request.space)
        job = f"trial-{slot}-other-order"
        runs.append(_run(other_plan, spec, study_runs, job, trial.number, keep, None))
    return runs


def _run(
    plan: Plan,
    spec: StudySpec,
    study_runs: StudyRuns,
    job: str,
    trial_number: int,
    keep: Callable[[str], bool],
    callback: Callback | None,
) -> _TrialRun:
    """Run a plan, unless a process that was killed had just finished it."""
    finished = patiently(lambda: study_runs.finished(job, plan.keys[-1]))
    if finished is not None:
        path = patiently(lambda: study_runs.path(finished, spec.objectives))
        return _TrialRun(finished.info.run_id, path, {})
    member = study_runs.member(job, trial_number, keep)
    with watched(callback) if callback is not None else contextlib.nullcontext():
        chain = patiently(lambda: track_member(plan, member, study_runs.checkpoints))
    path = [
        {name: scores.value for name, scores in chain.scores[number].items()}
        for number in sorted(chain.scores)
    ]
    return _TrialRun(chain.run_id, path, chain.seconds)


def _check_judged(run: _TrialRun, spec: StudySpec) -> None:
    """Raise an error if a criterion that judges the trial could not be measured."""
    judging = [objective.criterion for objective in spec.objectives]
    judging += [constraint.criterion for constraint in spec.constraints]
    missing = [name for name in judging if name not in run.path[-1]]
    on_the_way = [sought.criterion for sought in spec.objectives if sought.measure == RESTORED]
    missing += [name for name in on_the_way for values in run.path if name not in values]
    if missing:
        raise RuntimeError(f"{missing[0]} could not be measured, as run {run.run_id} says")


def _shared_checkpoints(plan: Plan, is_tuned: Sequence[bool], space: str) -> Callable[[str], bool]:
    """Return which checkpoints, by key, are worth keeping for other trials.

    On a grid all prefixes repeat; elsewhere only those before the first tuned step, whose branches
    are not tuned.
    """
    if space == "paper":
        depth = len(is_tuned) - 1
    elif any(is_tuned):
        depth = is_tuned.index(True)
    else:
        depth = len(is_tuned)
    applied = Composition(plan.composition[: depth + 1]).applications(plan.keys, plan.data)
    branch_keys = {key for key, _ in applied if key not in plan.keys}
    return frozenset({*plan.keys[: depth + 1], *branch_keys}).__contains__


def _tag_pruned(study_runs: StudyRuns, trial_number: int, error: Pruned) -> None:
    for run in study_runs.of_trial(trial_number):
        study_runs.parent.client.set_tag(run.info.run_id, schema.PRUNED, lifecycle.one_line(error))
