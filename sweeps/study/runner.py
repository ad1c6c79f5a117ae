"""Runs a study: several processes may serve it at once; one of them concludes it at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mlflow
from tqdm import tqdm

from sweeps.failures import Incomplete
from sweeps.parent_run import ParentRun
from sweeps.retry import patiently
from sweeps.study.conclusion import Conclusion, conclude
from sweeps.study.ray_runner import serve_on_ray
from sweeps.study.record import record_conclusion
from sweeps.study.request import StudyRequest
from sweeps.study.serving import has_living_run, serve
from sweeps.study.spec import StudySpec
from sweeps.study.storage import check_recorded_study
from sweeps.study.study_runs import StudyRuns
from sweeps.study.trial_queue import TrialQueue
from tracking import lifecycle, store
from tracking.checkpoints.store import Checkpoints


@dataclass(frozen=True)
class StudyOutcome:
    """How a study ended.

    Attributes:
        queue: its trials.
        parent_id: id of the run under which the study's runs are nested.
        ended_before: how many trials had ended before this process came.
        conclusion: what the study comes to.
    """

    queue: TrialQueue
    parent_id: str
    ended_before: int
    conclusion: Conclusion


def prepare_study(
    request: StudyRequest, checkpoints: Checkpoints | None = None
) -> tuple[StudySpec, Checkpoints]:
    """Check a request in full, against the storage too, before anything runs.

    Args:
        request: of the study.
        checkpoints: the cache; the checkout's by default, which is made only for a sound request.

    Returns:
        The study, and the cache.

    Raises:
        InvalidInput: one line that says what is wrong and what is valid.
    """
    spec = StudySpec(request, remote=request.resources.on_ray)
    request = spec.request
    checkpoints = checkpoints or Checkpoints()
    store.ensure_experiment(request.experiment)
    check_recorded_study(
        request.storage, checkpoints.folder, request.experiment, request.name, spec.about()
    )
    return spec, checkpoints


def run_study(spec: StudySpec, checkpoints: Checkpoints | None = None) -> StudyOutcome:
    """Run what is missing of a study, together with other processes that run it.

    Returns when all trials are done, whoever ran them.

    Args:
        spec: of the study.
        checkpoints: the cache; the checkout's by default.

    Raises:
        InvalidInput: a study of that name is about something else.
        Incomplete: some trials failed; says which and why, in one line each.
        StoreAway: the store did not come back.
    """
    checkpoints = checkpoints or Checkpoints()
    request = spec.request
    mlflow.set_tracking_uri(store.uri())
    queue = spec.open_queue(checkpoints)
    parent = ParentRun(store.client(), store.ensure_experiment(request.experiment), request.name)
    with parent.turn("opening"):
        parent_id = parent.open_run(dict(request.params), shared=True)
        queue.fill()
    study_runs = StudyRuns(parent, parent_id, checkpoints)
    with lifecycle.closing_run(parent.client, parent_id, shared=True):
        ended_before = len(queue.ended())
        _run_trials(spec, study_runs, queue, ended_before)
        with parent.turn("conclusion", lambda: not has_living_run(study_runs)):
            # both do only what is missing, so that they can begin again after an outage
            conclusion = patiently(lambda: conclude(spec, study_runs, queue))
            patiently(lambda: record_conclusion(spec, study_runs, queue, conclusion))
        _check_complete(queue)
    return StudyOutcome(queue, parent_id, ended_before, conclusion)


def _run_trials(
    spec: StudySpec, study_runs: StudyRuns, queue: TrialQueue, ended_before: int
) -> None:
    with tqdm(total=queue.slots, initial=ended_before, unit="trial", desc=spec.request.name) as bar:

        def advance() -> None:
            _advance(bar, queue)

        if spec.request.resources.on_ray:
            serve_on_ray(spec, study_runs, queue, advance)
        else:
            serve(spec, study_runs, queue, advance)


def _advance(bar: tqdm[Any], queue: TrialQueue) -> None:
    failed = queue.failed()
    bar.n = len(queue.ended()) + len(failed)
    if failed:
        bar.set_postfix(failed=len(failed), refresh=False)
    bar.refresh()


def _check_complete(queue: TrialQueue) -> None:
    failed = queue.failed()
    if failed:
        reasons = "".join(
            f"\n  trial of slot {slot}: {reason}" for slot, reason in sorted(failed.items())
        )
        raise Incomplete(
            f"{len(failed)} of {queue.slots} failed; the same command tries them again{reasons}"
        )
