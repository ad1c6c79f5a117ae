"""Run what is missing of a grid: a run for each composition, here or by workers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import mlflow
from filelock import Timeout
from tqdm import tqdm

from interventions.aside import scratch_folder
from interventions.composition import digest
from interventions.errors import InvalidInput
from interventions.files import file_lock
from sweeps.failures import Incomplete
from sweeps.grid.jobs import Job, PrefixUse
from sweeps.grid.progress import Progress, Tally
from sweeps.grid.ray_runner import run_jobs as run_jobs_on_ray
from sweeps.grid.spec import CompositionGrid
from sweeps.parent_run import ParentRun
from sweeps.retry import StoreAway, patiently
from tracking import lifecycle, query, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.failures import failure_lines
from tracking.markup import plain_cells
from tracking.run import track_member

TABLE = "compositions.csv"


@dataclass(frozen=True)
class GridResult:
    """What a grid came to; all of its runs are finished.

    Attributes:
        name: of the grid; the same name again goes on with it.
        run_id: of the parent run, under which the compositions' runs are nested.
        runs: how many compositions there are, over all seeds and batches of edits.
        finished_before: how many of them an earlier call had finished.
        applications: how many interventions were applied now; a shared prefix counts once.
        seconds: by the clock.
        seconds_by_part: of apply, measure, load, save, log; with several workers these add up to
            more than ``seconds``.
    """

    name: str
    run_id: str
    runs: int
    finished_before: int
    applications: int
    seconds: float
    seconds_by_part: Mapping[str, float]

    @property
    def finished_now(self) -> int:
        """How many compositions this call has run."""
        return self.runs - self.finished_before


def run_grid(grid: CompositionGrid, cache: Checkpoints | None = None) -> GridResult:
    """Run what is missing of a grid, and return what it came to.

    Args:
        grid: checked.
        cache: where checkpoints are kept; the checkout's by default.

    Raises:
        InvalidInput: another process runs the grid; nothing was run.
        Incomplete: some compositions failed; which and why, in one line each.
        StoreAway: the store did not come back.
    """
    checkpoints = cache or Checkpoints()
    mlflow.set_tracking_uri(store.uri())
    lock_name = f"sweep-{digest(store.uri(), grid.experiment, grid.name)}.lock"
    with ExitStack() as stack:
        try:
            lock = file_lock(checkpoints.folder / "locks" / lock_name)
            stack.enter_context(lock.acquire(timeout=0))
        except Timeout as error:
            raise InvalidInput(
                f"{grid.name!r} is being run on this machine: wait for it or end it, or give this"
                " one another name"
            ) from error
        except (OSError, NotImplementedError):
            pass  # a cache that is only read has no locks; the store tells as well
        parent = ParentRun(store.client(), store.ensure_experiment(grid.experiment), grid.name)
        run_id = parent.open_run(grid.params)
        with lifecycle.closing_run(parent.client, run_id):
            return _run_missing(grid, parent, run_id, checkpoints)


def _run_missing(
    grid: CompositionGrid, parent: ParentRun, run_id: str, checkpoints: Checkpoints
) -> GridResult:
    start = time.perf_counter()
    finished_jobs = patiently(parent.settle_runs)
    missing = [job for job in grid.jobs if job.id not in finished_jobs]
    tally = Tally(total=len(grid.jobs), before=len(grid.jobs) - len(missing))
    with tqdm(total=tally.total, initial=tally.before, unit="run", desc=grid.name) as bar:
        progress = Progress(parent, run_id, bar, tally)
        if grid.resources.on_ray:
            run_jobs_on_ray(grid.resources, missing, progress, checkpoints)
        else:
            _run_jobs(missing, progress, checkpoints)
    # an attempt that failed while its run was made, and was made again, has left a run behind
    patiently(lambda: parent.settle_runs(all_ended=True))
    seconds = time.perf_counter() - start
    seconds_by_part = dict(tally.seconds)
    tally.seconds["wall"] = seconds
    with scratch_folder() as folder:
        patiently(lambda: progress.finish(_write_table(grid, folder)))
    if tally.failed:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in tally.failed.items())
        raise Incomplete(
            f"{len(tally.failed)} of {tally.total} failed; the same command tries them again"
            + reasons
        )
    return GridResult(
        name=grid.name,
        run_id=run_id,
        runs=tally.total,
        finished_before=tally.before,
        applications=tally.applied,
        seconds=seconds,
        seconds_by_part=seconds_by_part,
    )


def _run_jobs(jobs: Sequence[Job], progress: Progress, checkpoints: Checkpoints) -> None:
    """Run jobs in this process, one after another."""
    prefix_use = PrefixUse(jobs)
    for job in jobs:
        checkpoints.pin(filter(prefix_use, job.keys))
        _run_job(job, progress, checkpoints, prefix_use)
        checkpoints.unpin(prefix_use.done(job))


def _run_job(job: Job, progress: Progress, checkpoints: Checkpoints, prefix_use: PrefixUse) -> None:
    """Run one job; if it fails, its run says why and the grid goes on."""
    member = progress.member(job, prefix_use)
    try:
        chain = patiently(lambda: track_member(job.plan, member, checkpoints))
    except StoreAway:
        raise
    except Exception as error:
        progress.job_failed(job, lifecycle.one_line(error))
    else:
        progress.add_cost(chain.seconds, chain.steps_applied)
        if chain.failures:
            progress.job_failed(job, "; ".join(failure_lines(chain.failures)))
        else:
            progress.job_done()


def _write_table(grid: CompositionGrid, folder: Path) -> Path:
    """Write the finished runs as a CSV file in a folder, and return its path."""
    finished_runs = query.compositions(
        grid.experiment, f"tags.`{schema.SWEEP}` = '{grid.name}' and attributes.status = 'FINISHED'"
    )
    path = folder / TABLE
    plain_cells(finished_runs).to_csv(path, index=False)
    return path
