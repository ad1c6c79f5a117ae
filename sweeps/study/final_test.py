"""The final test: the chosen setting is measured once on data that no trial has seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from optuna.trial import FixedTrial

from interventions.composition import Composition
from sweeps.retry import patiently
from sweeps.study.spec import StudySpec
from sweeps.study.study_runs import StudyRuns
from tracking import schema
from tracking.plan import Plan
from tracking.run import track_member
from tracking.settings import PAPER


def final_split(data: object) -> str:
    """Return the split that judges a setting which was tuned on "validation".

    On the paper's data "test" shares questions with "validation"; "held_out" is the rest of "test".

    Args:
        data: the setting: "testbed", "paper", or somebody's own.

    Example:
        >>> final_split("testbed"), final_split("paper")
        ('test', 'held_out')
    """
    return "held_out" if data == PAPER else "test"


def measure_chosen(
    params: Mapping[str, Any],
    trial_number: int,
    spec: StudySpec,
    study_runs: StudyRuns,
    named: Collection[str] = (),
) -> list[str]:
    """Measure what a trial tried on the final split, unless the store has the runs already.

    Args:
        params: parameter -> value, as the trial has them.
        trial_number: of the trial.
        spec: of the study.
        study_runs: where the new runs go.
        named: ids of the runs that the study's trials name.

    Returns:
        Ids of the runs, one per order.
    """
    steps = spec.space.composition(FixedTrial(dict(params)))
    context = spec.context.for_split(final_split(spec.request.settings.data))
    orders = [steps, Composition(reversed(steps))] if spec.both_orders else [steps]
    finished_jobs = patiently(lambda: study_runs.parent.settle_runs(named))
    run_ids = []
    for order in orders:
        plan = context.plan(order)
        job = f"chosen-{plan.keys[-1]}"
        run_ids.append(finished_jobs.get(job) or _measure(plan, job, trial_number, study_runs))
    return run_ids


def _measure(plan: Plan, job: str, trial_number: int, study_runs: StudyRuns) -> str:
    member = study_runs.member(job, trial_number, lambda key: False, **{schema.CHOSEN: "true"})
    return patiently(lambda: track_member(plan, member, study_runs.checkpoints)).run_id
