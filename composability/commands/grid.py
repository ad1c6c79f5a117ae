"""`composability grid`: every composition of a list of interventions, a run each."""

from __future__ import annotations

from typing import Any

import click

from analysis.report.hypotheses.presets.names import TITLES
from composability.commands.options import (
    NONE,
    choice,
    ray_resources,
    run_settings,
    switch,
    text,
)
from sweeps.grid.presets import PAIRS, PRESETS

_PARTLY = "of what did not fail:"


@click.command()
@text("--interventions", NONE, '"ft; wanda(sparsity=[0.25, 0.35])"; a list of values is a sweep.')
@choice(
    "--preset",
    NONE,
    (NONE, *PRESETS, *TITLES),
    "Instead of interventions; with a finding's name the verdict on it is printed at the end.",
)
@text("--length", "0..2", "How many steps: 2, or 1..3; 0 is the base model.")
@choice(
    "--pairs",
    "across",
    PAIRS,
    "across: steps of different categories; all: of different interventions.",
)
@text("--edit-batches", "1", "How many batches of edits (3), or which (0,4).")
@text("--seeds", "1", "How many seeds (3), or which (0,4).")
@text("--name", "auto", "A grid of this name goes on; auto: a name made of what it runs.")
@switch("--dry-run", "Only say what would run, and how long.")
@ray_resources()
@run_settings(checkpoints="none")
def grid(dry_run: bool, **options: Any) -> int:
    """Run every composition of some interventions.

    Each is a run under one parent run. The same command again does what is missing: finished runs
    are not computed twice.
    """
    from sweeps.failures import Incomplete, sweep_exit_status

    def run() -> None:
        from tracking import store

        store.check_reachable()  # before the seconds that importing torch takes
        if options["preset"] in TITLES:
            from composability.grid_findings import run_preset

            run_preset(options, dry_run)
            return
        from composability.grid_text import print_ranking
        from sweeps.grid.command import run_command
        from sweeps.grid.spec import GridRequest
        from tracking.lifecycle import reject_launched_run

        request = GridRequest(**options)
        try:
            name = run_command(request, dry_run)
        except Incomplete:
            # what failed is said after what came of the others
            print_ranking(request.experiment, request.checked().name, _PARTLY)
            raise
        if dry_run:
            reject_launched_run(name, "dry run")
        else:
            print_ranking(request.experiment, name)

    return sweep_exit_status(run)
