"""`composability run`: one composition is one MLflow run."""

from __future__ import annotations

import sys
from typing import Any

import click

from composability.commands.options import NONE, integer, run_settings, text
from tracking.settings import SEED_LIMIT, Settings, defaults_profile


@click.command()
@click.argument("composition", default=NONE)
@text("--first", NONE, 'First intervention, such as lora or "wanda(sparsity=0.25)".')
@text("--second", NONE, "Second intervention.")
@text("--then", NONE, 'Further steps: "ft | wanda(sparsity=0.65)".')
@integer("--seed", Settings.seed, 0, "Enters the seed of every step.", SEED_LIMIT)
@integer("--edit-batch", Settings.edit_batch, 0, "Which batch of edits, from 0.")
@run_settings()
def run(
    composition: str, first: str, second: str, then: str, experiment: str, **settings: Any
) -> int:
    """Run a COMPOSITION and log it as one MLflow run.

    Every criterion that there is data for is measured before the first step and after each. If one
    fails, the others are kept, and the status is 1.

    COMPOSITION is written like "lora | wanda(sparsity=0.25)"; "none", the default, measures the
    base model. MLproject gives its steps one by one instead, as --first, --second and --then.
    """
    named = [spec for spec in (first, second, then) if spec != NONE]
    if composition != NONE and named:
        raise click.UsageError("give a COMPOSITION or --first, --second and --then, not both")

    from tracking.lifecycle import exit_status

    specs = named or [composition]
    failed: list[str] = []
    status = exit_status(lambda: failed.extend(_run(specs, experiment, settings)))
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    return status or int(bool(failed))


def _run(specs: list[str], experiment: str, settings: dict[str, Any]) -> list[str]:
    """Run the steps; return a line on each criterion that could not be measured."""
    from interventions.composition import Composition
    from tracking import failures, store
    from tracking.run import run as run_composition

    profile = defaults_profile(settings["data"])
    # each on its own, so that an error quotes the one that is wrong
    steps = [step for spec in specs for step in Composition.parse(spec, profile)]
    run_id = run_composition(Composition(steps), experiment=experiment, **settings)
    print(f"run {run_id} in {store.shown_address()}")
    return failures.of_run(run_id)
