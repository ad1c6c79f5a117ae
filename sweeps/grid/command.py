"""Run a grid: `composability grid --preset paper`, or `mlflow run . -e grid`.

Each composition is a run under one parent run. The same command again does what is missing.
"""

from __future__ import annotations

from sweeps.grid.describe import describe_plan, describe_result
from sweeps.grid.runner import run_grid
from sweeps.grid.spec import GridRequest
from tracking import store


def run_command(request: GridRequest, dry_run: bool = False) -> str:
    """Run a grid and print what it came to, or only print what it would run.

    Returns:
        The grid's name.

    Raises:
        InvalidInput: the request cannot be run, or the store cannot be reached.
        Incomplete: some compositions failed.
        StoreAway: the store did not come back.
    """
    store.check_reachable()
    grid = request.checked()
    if dry_run:
        print(describe_plan(grid))
    else:
        print(describe_result(run_grid(grid)))
    return grid.name
