"""The loop in which one process serves a study: it claims and runs trials until none is left."""

from __future__ import annotations

import time
from collections.abc import Callable

from optuna.trial import FrozenTrial

from sweeps.retry import patiently
from sweeps.study.spec import StudySpec
from sweeps.study.study_runs import StudyRuns
from sweeps.study.trial import run_trial
from sweeps.study.trial_queue import TrialQueue
from tracking import lifecycle

POLL_SECONDS = 1.0  # between two looks at what other processes do


def serve(
    spec: StudySpec,
    study_runs: StudyRuns,
    queue: TrialQueue,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Run trials until none waits and no other process runs one.

    What a killed process left is run again.

    Args:
        spec: of the study.
        study_runs: where its runs go.
        queue: the study's trials.
        on_progress: called after each trial, and each second while other processes run theirs.

    Raises:
        StoreAway: the store did not come back.
    """

    def is_silent(trial: FrozenTrial) -> bool:
        return is_trial_silent(study_runs, trial)

    # first, so that a slot which was lost is filled before those after it
    patiently(lambda: queue.recover_lost(is_silent))
    while True:
        trial = patiently(queue.claim)
        if trial is not None:
            run_trial(trial, queue, spec, study_runs)
        elif not patiently(lambda: queue.recover_lost(is_silent)):
            if not queue.unfinished():
                on_progress()
                return
            time.sleep(POLL_SECONDS)
        on_progress()


def is_trial_silent(study_runs: StudyRuns, trial: FrozenTrial) -> bool:
    """Return whether a trial that another host claimed has had no living run for long.

    It may not have a run yet, or be between two runs.
    """
    runs = study_runs.of_trial(trial.number)
    if any(run.info.status == "RUNNING" and not lifecycle.is_run_dead(run) for run in runs):
        return False
    last_end = max([run.info.end_time or 0 for run in runs], default=0) / 1000  # ms to s
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - max(last_end, started) > lifecycle.SILENT_SECONDS


def has_living_run(study_runs: StudyRuns) -> bool:
    """Return whether any of the study's runs has a process."""
    running = study_runs.search("attributes.status = 'RUNNING'")
    return any(not lifecycle.is_run_dead(run) for run in running)
