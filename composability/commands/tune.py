"""`composability tune`: hyperparameters of a composition, a run for each trial."""

from __future__ import annotations

from typing import Any

import click

from composability.commands.options import (
    NONE,
    choice,
    integer,
    ray_resources,
    run_settings,
    switch,
    text,
)
from sweeps.study.options import PRUNERS, SAMPLERS, SPACES
from tracking.settings import SEED_LIMIT, Settings

_AUTO = "auto"


@click.command()
@click.argument("composition", default=NONE)
@text("--intervention", NONE, "The same as COMPOSITION, for MLproject.")
@choice("--space", "default", SPACES, "default: continuous; paper: the points of its Tables 5-7.")
@text(
    "--objective",
    _AUTO,
    '"wmdp:min,mmlu:max", "order_sensitivity:edit_success" or "restored:wmdp".',
)
@text("--constraint", NONE, '"mmlu>0.55,wmdp<0.30".')
@choice("--sampler", _AUTO, (_AUTO, *SAMPLERS), "auto: grid with --space paper, else tpe.")
@text("--trials", _AUTO, "How many in all; auto: 40, or every point of a grid.")
@integer("--sampler-seed", 0, 0, "Seed of the sampler.")
@choice(
    "--pruner",
    NONE,
    PRUNERS,
    "median: give up what is worse than half of the others so far; hyperband: two of three, again"
    " and again.",
)
@integer("--prune-every", 20, 1, "Training steps between the pruner's looks.")
@integer("--prune-items", 0, 0, "The most items that a look measures; 0: as many as the runs do.")
@text("--name", _AUTO, "A study of this name goes on; auto: a name made of what it is about.")
@text(
    "--storage",
    "journal",
    "journal, a file beside the checkpoints; postgresql://... without a password; or environment:"
    " the address, with its password, that COMPOSABILITY_STUDY_STORAGE has.",
)
@switch("--dry-run", "Only say what would run.")
@ray_resources()
@integer("--seed", Settings.seed, 0, "Enters the seed of every step.", SEED_LIMIT)
@integer("--edit-batch", Settings.edit_batch, 0, "Which batch of validation edits, from 0.")
@run_settings(checkpoints="none", split=False)
def tune(composition: str, intervention: str, dry_run: bool, **options: Any) -> int:
    """Tune hyperparameters of a COMPOSITION.

    It is one such as rmu, or "lora | wanda(sparsity=0.5)": values that are given stay. Each trial
    is a run under one parent run, judged by validation data; the chosen setting is then measured
    once on test data. The same command again does what is missing.
    """
    if composition != NONE and intervention != NONE:
        raise click.UsageError("give a COMPOSITION or --intervention, not both")

    from sweeps.failures import sweep_exit_status

    spec = composition if composition != NONE else intervention
    return sweep_exit_status(lambda: _run(dry_run, {"intervention": spec, **options}))


def _run(dry_run: bool, options: dict[str, Any]) -> None:
    from tracking import store

    store.check_reachable()  # before the seconds that importing torch takes
    from sweeps.study.command import run_command

    run_command(options, dry_run)
