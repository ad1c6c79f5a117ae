"""The options that several subcommands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from interventions.options import RECOMPRESS, SPLITS
from tracking.settings import CHECKPOINTS, DATA, DEVICES, DTYPES, Settings
from tracking.store import EXPERIMENT

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

NONE = "none"


def stack(*options: Decorator[Any]) -> Decorator[Any]:
    """Return one decorator that adds several options, in the order in which they are given."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def text(name: str, default: str, help: str) -> Decorator[Any]:
    """Return an option of free text that shows its default."""
    return click.option(name, default=default, show_default=True, help=help)


def choice(name: str, default: str, valid: tuple[str, ...], help: str) -> Decorator[Any]:
    """Return an option whose value is one of several names."""
    return click.option(
        name, default=default, show_default=True, type=click.Choice(valid), help=help
    )


def integer(
    name: str, default: int, least: int, help: str, most: int | None = None
) -> Decorator[Any]:
    """Return an option whose value is an integer."""
    return click.option(
        name, default=default, show_default=True, type=click.IntRange(least, most), help=help
    )


def switch(name: str, help: str) -> Decorator[Any]:
    """Return an option that is off by default; `--name` alone, or `--name true`, turns it on."""
    return click.option(
        name,
        type=click.BOOL,
        is_flag=False,
        flag_value="true",
        default=False,
        show_default="false",
        help=help,
    )


def run_settings(checkpoints: str = Settings.checkpoints, split: bool = True) -> Decorator[Any]:
    """Return the settings that every command has which runs compositions.

    Args:
        checkpoints: the command's default of what is logged.
        split: whether the user may say which part of the data judges.
    """
    judged_by = choice(
        "--split", Settings.split, SPLITS, "The part of the data that judges, and edits come from."
    )
    return stack(
        text("--model", Settings.model, "testbed, a checkpoint folder, or a Hugging Face id."),
        choice("--data", Settings.data, DATA, "What steps learn from and what judges them."),
        *((judged_by,) if split else ()),
        choice(
            "--recompress",
            Settings.recompress,
            RECOMPRESS,
            "Whether a compression that later steps undid is applied again at the end.",
        ),
        choice("--checkpoints", checkpoints, CHECKPOINTS, "Whose checkpoints are logged."),
        choice("--device", Settings.device, DEVICES, "Where the model is."),
        choice("--dtype", Settings.dtype, DTYPES, "auto: float32 on a CPU, bfloat16 on a GPU."),
        text("--experiment", EXPERIMENT, "Name of the MLflow experiment."),
    )


def ray_resources() -> Decorator[Any]:
    """Return the options of every command that may run on Ray."""
    return stack(
        click.option(
            "--workers",
            default=1,
            show_default=True,
            type=click.IntRange(1),
            help="Processes; more than one run on Ray.",
        ),
        text("--ray-address", NONE, "Address of a Ray cluster, such as 10.0.0.1:6379."),
        click.option(
            "--gpus",
            default=0.0,
            show_default=True,
            type=click.FloatRange(0),
            help="GPUs per worker, such as 1 or 0.5.",
        ),
    )
