"""Runs what is missing of a grid: one run per composition, under one parent run, here or by workers."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from tqdm import tqdm

from interventions.composition import digest
from interventions.errors import InvalidInput
from sweeps.grid import ray_runner
from sweeps.grid.jobs import Job, PrefixUse
from sweeps.grid.progress import Outcome, Progress
from sweeps.grid.ray_runner import Resources
from sweeps.parent_run import Ledger
from sweeps.retry import StoreAway, patiently
from tracking import lifecycle, query, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.run import track_member

TABLE = "compositions.csv"


class Incomplete(Exception):
    """Some compositions failed; the others are done."""


def exit_status(command: Callable[[], None]) -> int:
    """Run a command of a sweep: as liveness.exit_status does, and 1, in words, if some of it failed."""
    try:
        return lifecycle.exit_status(command)
    except (Incomplete, StoreAway) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


@dataclass(frozen=True)
class CompositionGrid:
    """What is asked for, checked.

    Attributes:
        name: by which it is found again, and goes on.
        jobs: all of them, neighbours where they share a prefix.
        experiment: the experiment's name.
        params: as given, for the parent run.
        resources: what it runs on.
    """

    name: str
    jobs: Sequence[Job]
    experiment: str = store.EXPERIMENT
    params: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)


def run(grid: CompositionGrid, cache: Checkpoints | None = None) -> Outcome:
    """Run what is missing of a grid.

    Raises:
        InvalidInput: the grid is being run; nothing was.
        Incomplete: some compositions failed; which and why, in one line each.
        StoreAway: the store did not come back.
    """
    kept = cache or Checkpoints()
    mlflow.set_tracking_uri(store.uri())
    lock = FileLock(
        kept.folder / "locks" / f"sweep-{digest(store.uri(), grid.experiment, grid.name)}.lock"
    )
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InvalidInput(
            f"{grid.name!r} is being run on this machine: wait for it or end it, or give this one another name"
        ) from error
    with lock:
        ledger = Ledger(MlflowClient(), store.experiment(grid.experiment), grid.name)
        root = ledger.open(grid.params)
        with lifecycle.ending(ledger.client, root):
            return _run(grid, ledger, root, kept)


def _run(grid: CompositionGrid, ledger: Ledger, root: str, kept: Checkpoints) -> Outcome:
    start = time.perf_counter()
    finished = patiently(ledger.finished)
    todo = [job for job in grid.jobs if job.id not in finished]
    total, before = len(grid.jobs), len(grid.jobs) - len(todo)
    bar: tqdm[Any] = tqdm(total=total, initial=before, unit="run", desc=grid.name)
    with bar:
        progress = Progress(ledger, root, bar, total, Outcome(before=before))
        if grid.resources.on_ray:
            ray_runner.run(grid.resources, todo, progress, kept)
        else:
            _here(todo, progress, kept)
    patiently(ledger.finished)
    outcome = progress.outcome
    outcome.seconds["wall"] = time.perf_counter() - start
    patiently(lambda: progress.end(_table(grid)))
    if outcome.failed:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in outcome.failed.items())
        raise Incomplete(
            f"{len(outcome.failed)} of {len(grid.jobs)} failed; the same command tries them again{reasons}"
        )
    return outcome


def _here(todo: Sequence[Job], progress: Progress, kept: Checkpoints) -> None:
    """In this process, one after another."""
    shared = PrefixUse(todo)
    for job in todo:
        kept.pin(filter(shared, job.plan.keys))
        _attempt(job, progress, kept, shared)
        kept.unpin(shared.done(job))


def _attempt(job: Job, progress: Progress, kept: Checkpoints, shared: PrefixUse) -> None:
    """One that fails does not stop the others, and its run says why."""
    member = progress.member(job, shared)
    try:
        chain = patiently(lambda: track_member(job.plan, member, kept))
    except StoreAway:
        raise
    except Exception as error:
        progress.failed(job, lifecycle.one_line(error))
    else:
        progress.spent(chain.seconds, chain.applied)
        progress.done()


def _table(grid: CompositionGrid) -> Path:
    """The finished runs, as a file in a folder of its own."""
    frame = query.compositions(
        grid.experiment, f"tags.`{schema.SWEEP}` = '{grid.name}' and attributes.status = 'FINISHED'"
    )
    path = Path(tempfile.mkdtemp(prefix="composability-")) / TABLE
    frame.to_csv(path, index=False)
    return path
