"""Runs a study: several processes may serve it at once; whoever is there at its end concludes it, once."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow import MlflowClient
from optuna.trial import FrozenTrial
from tqdm import tqdm

from sweeps.grid.runner import Incomplete
from sweeps.parent_run import Ledger
from sweeps.retry import patiently
from sweeps.study import report
from sweeps.study.trial import StudyRuns, StudySpec, attempt, test
from sweeps.study.trial_queue import TrialQueue
from tracking import lifecycle, schema, store
from tracking.checkpoints.store import Checkpoints

_LOOK = 1.0  # seconds between looks at what others do


@dataclass(frozen=True)
class Ended:
    """How a study ended.

    Attributes:
        claims: the study.
        root: its parent run.
        before: how many trials had ended before.
        conclusion: what came of it.
    """

    claims: TrialQueue
    root: str
    before: int
    conclusion: report.Conclusion


def run(work: StudySpec, cache: Checkpoints | None = None) -> Ended:
    """Run what is missing of a study, together with whoever else is at it; returns when all of it is done.

    Raises:
        InvalidInput: a study of that name is about something else.
        Incomplete: some trials failed; which and why, in one line each.
        StoreAway: the store did not come back.
    """
    kept, request, name = cache or Checkpoints(), work.request, work.request.name
    mlflow.set_tracking_uri(store.uri())
    claims = work.claims(kept)
    with claims.turn("opening"):
        ledger = Ledger(MlflowClient(), store.experiment(request.experiment), name)
        root = ledger.open(dict(request.params), together=True)
        claims.fill()
    place = StudyRuns(ledger, root, kept)
    with lifecycle.ending(ledger.client, root):
        before = len(claims.ended())
        with tqdm(total=claims.slots, initial=before, unit="trial", desc=name) as bar:
            if request.resources.on_ray:
                from sweeps.study import ray_runner

                final = ray_runner.on_ray(work, place, claims, lambda: _advance(bar, claims))
            else:
                serve(work, place, claims, lambda: _advance(bar, claims))
                final = test
        with claims.turn("conclusion", lambda: not _lives(place)):
            found = report.conclude(work, place, claims, final)
        failed = claims.failed()
        if failed:
            reasons = "".join(
                f"\n  trial of slot {slot}: {reason}" for slot, reason in sorted(failed.items())
            )
            raise Incomplete(
                f"{len(failed)} of {claims.slots} failed; the same command tries them again{reasons}"
            )
    return Ended(claims, root, before, found)


def serve(
    work: StudySpec, place: StudyRuns, claims: TrialQueue, done: Callable[[], None] = lambda: None
) -> None:
    """Run trials until none waits and no other process is at one; what a killed process left is run again."""
    is_silent = functools.partial(silent, place)
    while True:
        trial = patiently(claims.claim)
        if trial is not None:
            attempt(trial, claims, work, place)
        elif not patiently(lambda: claims.lost(is_silent)):
            if not claims.running():
                done()
                return
            time.sleep(_LOOK)
        done()


def silent(place: StudyRuns, trial: FrozenTrial) -> bool:
    """Whether a trial on another host has no run that lives; it may not have one yet."""
    ledger = place.ledger
    told = f"tags.`{schema.SWEEP}` = '{ledger.name}' and tags.`{schema.TRIAL}` = '{trial.number}'"
    runs = ledger.client.search_runs([ledger.experiment_id], told)
    if any(run.info.status == "RUNNING" and not lifecycle.is_dead(run) for run in runs):
        return False
    last = max([run.info.end_time or 0 for run in runs], default=0) / 1000
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - max(last, started) > lifecycle.SILENT


def _lives(place: StudyRuns) -> bool:
    """Whether any of the study's runs has a process."""
    told = f"tags.`{schema.SWEEP}` = '{place.ledger.name}' and attributes.status = 'RUNNING'"
    return any(
        not lifecycle.is_dead(run)
        for run in place.ledger.client.search_runs([place.ledger.experiment_id], told)
    )


def _advance(bar: tqdm[Any], claims: TrialQueue) -> None:
    failed = claims.failed()
    bar.n = len(claims.ended()) + len(failed)
    if failed:
        bar.set_postfix(failed=len(failed), refresh=False)
    bar.refresh()
