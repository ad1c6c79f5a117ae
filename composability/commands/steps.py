"""How `composability run` and `plan` are given a composition, and what both do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from composability.commands.options import NONE, Decorator, integer, stack, text
from tracking.settings import SEED_LIMIT, Settings, defaults_profile

if TYPE_CHECKING:
    from interventions.composition import Composition


def composition_options() -> Decorator[Any]:
    """Return the argument and the options that say what is applied."""
    return stack(
        click.argument("composition", default=NONE),
        text("--first", NONE, 'First intervention, such as lora or "wanda(sparsity=0.25)".'),
        text("--second", NONE, "Second intervention."),
        text("--then", NONE, 'Further steps: "ft | wanda(sparsity=0.65)".'),
        integer("--seed", Settings.seed, 0, "Enters the seed of every step.", SEED_LIMIT),
        integer("--edit-batch", Settings.edit_batch, 0, "Which batch of edits, from 0."),
    )


def specs_of(composition: str, first: str, second: str, then: str) -> list[str]:
    """Return the texts that together are the composition.

    Raises:
        UsageError: it is given in both ways.

    Example:
        >>> specs_of("none", "lora", "wanda", "none")
        ['lora', 'wanda']
    """
    named = [spec for spec in (first, second, then) if spec != NONE]
    if composition != NONE and named:
        raise click.UsageError("give a COMPOSITION or --first, --second and --then, not both")
    return named or [composition]


def composition_of(specs: list[str], data: str) -> Composition:
    """Return the composition of some texts, each read on its own: an error quotes the wrong one.

    Args:
        specs: in order.
        data: the setting, whose profile says the steps' defaults.

    Raises:
        InvalidInput: one cannot be read.
    """
    from interventions.composition import Composition

    profile = defaults_profile(data)
    return Composition(step for spec in specs for step in Composition.parse(spec, profile))


def print_plan(specs: list[str], settings: dict[str, Any], device_gib: float = 0.0) -> None:
    """Print what a run would take.

    Args:
        specs: the composition's texts.
        settings: of the run.
        device_gib: memory of the device; 0: of the one here.

    Raises:
        InvalidInput: the run would be refused.
    """
    from tracking.costs.planning import plan

    print(plan(composition_of(specs, settings["data"]), device_gib=device_gib, **settings))
