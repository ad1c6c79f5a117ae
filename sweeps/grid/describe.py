"""Say in words what a grid would run, and what it came to."""

from __future__ import annotations

from sweeps.grid.estimate import estimate_time
from sweeps.grid.jobs import count_applications
from sweeps.grid.runner import GridResult
from sweeps.grid.spec import CompositionGrid
from sweeps.parent_run import ParentRun
from tracking import store

_PARTS = ("apply", "measure", "load", "save", "log")


def describe_plan(grid: CompositionGrid) -> str:
    """Return what would run, how many applications that takes, and how long; runs nothing."""
    client = store.client()
    parent = ParentRun(client, store.ensure_experiment(grid.experiment), grid.name)
    parent.check_version(grid.params)
    finished_jobs = parent.settle_runs()
    missing = [job for job in grid.jobs if job.id not in finished_jobs]
    shared, separate = count_applications(missing)
    lines = [
        f"{grid.name}: {len(grid.jobs)} runs, {len(grid.jobs) - len(missing)} of them finished",
        *(f"  {job.name}" for job in missing),
        f"{len(missing)} to do: {shared} applications with shared prefixes, {separate} one by one,"
        " and recompressions",
        f"time: {estimate_time(missing, parent.experiment_id)}",
    ]
    return "\n".join(lines)


def describe_result(result: GridResult) -> str:
    """Return how many runs are finished, and what the time went into."""
    before = result.finished_before
    finished_before = f" ({before} had finished before)" if before else ""
    shares = [
        f"{part} {result.seconds_by_part[part] / result.seconds:.0%}"
        for part in _PARTS
        if result.seconds_by_part.get(part)
    ]
    time_split = f": {', '.join(shares)}" if shares else ""
    return (
        f"{result.name}: {result.runs} runs finished{finished_before} in {store.shown_address()}\n"
        f"{result.applications} applications, {result.seconds:.0f} s{time_split}"
    )
