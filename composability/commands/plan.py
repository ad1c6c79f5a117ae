"""`composability plan`: what a run would take, step by step."""

from __future__ import annotations

from typing import Any

import click

from composability.commands.options import NONE, Number, choice, run_settings
from composability.commands.steps import composition_options, print_plan, specs_of
from sweeps.grid.presets import PRESETS

_MOST_GIB = 10_000  # of a device


@click.command()
@composition_options()
@choice("--preset", NONE, (NONE, *PRESETS), "A grid's preset, instead of a composition.")
@click.option(
    "--device-gib",
    default=0.0,
    show_default=True,
    type=Number(0, _MOST_GIB),
    help="Memory of the device, where it is another machine's; 0: of the one here.",
)
@run_settings()
def plan(
    composition: str,
    first: str,
    second: str,
    then: str,
    preset: str,
    device_gib: float,
    experiment: str,
    **settings: Any,
) -> int:
    """Say what a run of a COMPOSITION would take.

    For each step the memory on the device and on the host, seconds and disk, and a warning where it
    will not fit, with what would make it fit. No weights are loaded, and no run is made. The
    options are those of `composability run`.
    """
    specs = specs_of(composition, first, second, then)
    if preset != NONE and specs != [NONE]:
        raise click.UsageError("give a COMPOSITION or --preset, not both")

    from tracking.lifecycle import exit_status

    if preset != NONE:
        return exit_status(lambda: _print_preset(preset, settings, device_gib))
    return exit_status(lambda: print_plan(specs, settings, device_gib))


def _print_preset(preset: str, settings: dict[str, Any], device_gib: float) -> None:
    from composability.preset_plan import plan_preset

    print(plan_preset(preset, settings, device_gib))
