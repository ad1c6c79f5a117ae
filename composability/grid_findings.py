"""A grid's preset that tests a published finding: its runs, and then the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from analysis.report.hypotheses.presets.all import presets_named
from composability.findings import FindingsRequest, run_command
from interventions.errors import InvalidInput, plain_text, shown
from sweeps.cluster import Resources
from sweeps.grid.spec import GridRequest
from sweeps.values import number_text
from tracking.passwords import check_no_passwords
from tracking.settings import Settings

REPLICATES = 10  # batches of edits, and seeds where a step draws at random
_HOURS = 3.0  # that the missing runs of a preset may take
# what the preset says itself
_SET_BY_PRESET = (
    "interventions", "length", "pairs", "seeds", "name", "criteria", "recompress", "checkpoints",
)  # fmt: skip
_NO_SETTINGS = ("preset", "edit_batches", "workers", "ray_address", "gpus", "experiment")


def run_preset(options: Mapping[str, Any], dry_run: bool) -> None:
    """Run what a preset's finding lacks, and print the verdict.

    Args:
        options: of `composability grid`, by name.
        dry_run: whether to print the plan and the verdict on what there is, and run nothing.

    Raises:
        InvalidInput: an option is given that the preset sets, a setting is not valid, or the
            missing runs would take over three hours.
        Incomplete: some runs failed.
    """
    run_command(findings_request(options), not dry_run, "none")


def findings_request(options: Mapping[str, Any]) -> FindingsRequest:
    """Return what is tested by a grid of these options.

    Args:
        options: of `composability grid`, by name.

    Raises:
        InvalidInput: an option is given that the preset sets, or cannot be read.
    """
    defaults = {field.name: field.default for field in fields(GridRequest)}
    preset = options["preset"]
    for name in _SET_BY_PRESET:
        if options[name] != defaults[name] and str(options[name]) != str(defaults[name]):
            raise InvalidInput(
                f"preset {preset} has its own {name}: leave it at {defaults[name]}, but got"
                f" {shown(options[name])}"
            )
    names = ("experiment", "model", "data")
    check_no_passwords({name: options[name] for name in names})
    plain_text("experiment", options["experiment"])
    values = {
        name: value
        for name, value in options.items()
        if name not in (*_SET_BY_PRESET, *_NO_SETTINGS)
    }
    address = "" if options["ray_address"] == "none" else options["ray_address"]
    workers, gpus = number_text(options["workers"]), number_text(options["gpus"])
    return FindingsRequest(
        presets=presets_named(preset),
        replicates=_read_replicates(options["edit_batches"], defaults["edit_batches"]),
        policies=(),
        settings=Settings(**values, checkpoints="none"),
        experiment=options["experiment"],
        hours=_HOURS,
        resources=Resources.read(workers, address, gpus),
    )


def _read_replicates(edit_batches: object, default: object) -> int:
    """Return how many batches of edits are wanted; ten where the option is at its default."""
    text = str(edit_batches).strip()
    if text == str(default):
        return REPLICATES
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise InvalidInput(
            "edit_batches must be how many batches of edits a finding is tested over, such as"
            f" {REPLICATES}, but got {shown(edit_batches)}"
        )
    return int(text)
