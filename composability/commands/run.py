"""`composability run`: one composition is one MLflow run."""

from __future__ import annotations

import sys
from json import dumps
from typing import Any

import click

from composability.commands.given import given_options
from composability.commands.options import run_settings, switch
from composability.commands.steps import (
    composition_of,
    composition_options,
    print_plan,
    specs_of,
)
from interventions.errors import printable_line

# options that say no more than what is run, or how it is printed
_NO_SETTINGS = ("composition", "first", "second", "then", "dry_run", "json")


@click.command()
@composition_options()
@switch("--dry-run", "Only say what it would take, as `composability plan` does.")
@switch("--json", "Print what the run found as JSON, and nothing else on stdout.")
@run_settings()
def run(
    composition: str,
    first: str,
    second: str,
    then: str,
    dry_run: bool,
    json: bool,
    experiment: str,
    **settings: Any,
) -> int:
    """Run a COMPOSITION, log it as one MLflow run, and print what came of it.

    Every criterion that there is data for is measured before the first step and after each. If one
    fails, the others are kept, and the status is 1.

    COMPOSITION is written like "lora | wanda(sparsity=0.25)"; "none", the default, measures the
    base model. MLproject gives its steps one by one instead, as --first, --second and --then.
    """
    specs = specs_of(composition, first, second, then)

    from tracking.lifecycle import exit_status

    if dry_run:
        return exit_status(lambda: _only_plan(specs, settings))
    failed: list[str] = []
    options = given_options(click.get_current_context(), _NO_SETTINGS)
    status = exit_status(lambda: failed.extend(_run(specs, experiment, settings, json, options)))
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    return status or int(bool(failed))


def _only_plan(specs: list[str], settings: dict[str, Any]) -> None:
    from tracking.lifecycle import reject_launched_run

    print_plan(specs, settings)
    reject_launched_run(" | ".join(specs), "dry run")


def _run(
    specs: list[str], experiment: str, settings: dict[str, Any], as_json: bool, options: str
) -> list[str]:
    """Run the steps and print what they led to; return a line on each criterion that failed."""
    from tracking import failures, store

    store.check_reachable()  # before the seconds that importing torch takes
    from tracking.run import run as run_composition

    steps = composition_of(specs, settings["data"])
    run_id = run_composition(steps, experiment=experiment, **settings)
    _print_summary(run_id, as_json, options)
    if not as_json:
        _print_place(run_id)
    return failures.of_run(run_id)


def _print_place(run_id: str) -> None:
    """Print where a run is, and the link to its page."""
    from tracking import store
    from tracking.links import run_link, start_hint, ui_address

    ui = ui_address()
    experiment_id = store.client().get_run(run_id).info.experiment_id
    hint = start_hint(ui)
    print(f"run {run_id} in {store.shown_address()}{f' ({hint})' if hint else ''}")
    print(run_link(ui, experiment_id, run_id))


def _print_summary(run_id: str, as_json: bool, options: str) -> None:
    from composability.run_table import run_text
    from tracking.lifecycle import one_line
    from tracking.run_summary import run_summary

    try:
        summary = run_summary(run_id)
    except Exception as error:  # the run itself has ended well
        reason = printable_line(one_line(error), 200)
        print(f"warning: what run {run_id} found cannot be read back: {reason}", file=sys.stderr)
        return
    print(dumps(summary.as_json(), indent=2) if as_json else run_text(summary, options=options))
