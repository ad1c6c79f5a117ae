"""`composability list`: what is registered here, plug-ins included."""

from __future__ import annotations

import click


@click.group("list")
def list_known() -> None:
    """List the interventions, criteria or presets."""


@list_known.command()
@click.argument("names", nargs=-1)
def interventions(names: tuple[str, ...]) -> int:
    """List interventions (all, or those of NAMES) with their hyperparameters and defaults."""
    from interventions.listing import list_interventions
    from tracking.lifecycle import exit_status

    return exit_status(lambda: print(list_interventions(names)))


@list_known.command()
@click.argument("names", nargs=-1)
def criteria(names: tuple[str, ...]) -> int:
    """List criteria (all, or those of NAMES): which direction is better, unit, chance level."""
    from interventions.listing import list_criteria
    from tracking.lifecycle import exit_status

    return exit_status(lambda: print(list_criteria(names)))


@list_known.command()
def presets() -> int:
    """List the presets of `composability grid`: what each composes, or the finding it tests."""
    from analysis.report.hypotheses.presets.names import TITLES
    from sweeps.grid.presets import PRESETS

    for name, text in PRESETS.items():
        print(f"{name}: {text}")
    for name, title in TITLES.items():
        print(f"{name}: tests the finding: {title}")
    return 0
