"""The options that several subcommands have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from interventions.options import PROMPT_FORMATS, RECOMPRESS, SPLITS, TAILS
from tracking.settings import (
    CHECKPOINTS,
    DEVICES,
    DTYPES,
    MOST_ITEMS,
    MOST_WINDOW,
    Settings,
    is_gpu,
)
from tracking.store import EXPERIMENT
from tracking.versions import TESTBED

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

NONE = "none"


class Integer(click.IntRange):
    """An integer that is written with the digits 0 to 9; Python reads those of all scripts."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the integer, or fail in click's words."""
        if isinstance(value, str) and not value.isascii():
            self.fail(f"{value!r} is not a valid integer.", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A finite number of a range; NaN, which is neither below nor above, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or fail in click's words."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a valid number.", param, ctx)
        return number


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
        name, default=default, show_default=True, type=Integer(least, most), help=help
    )


class _TrueOrFalse(click.types.BoolParamType):
    """Reads a boolean as click does, but takes no empty text for false."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        if isinstance(value, str) and not value.strip():
            self.fail(f"{value!r} is not a valid boolean.", param, ctx)
        return super().convert(value, param, ctx)


def switch(name: str, help: str) -> Decorator[Any]:
    """Return an option that is off by default; `--name` alone, or `--name true`, turns it on."""
    return click.option(
        name,
        type=_TrueOrFalse(),
        is_flag=False,
        flag_value="true",
        default=False,
        show_default="false",
        help=help,
    )


class _Device(click.Choice[str]):
    """Reads a device: one of the choices, or a GPU by its index."""

    def __init__(self) -> None:
        super().__init__(DEVICES)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the device, or fail in click's words."""
        return value if is_gpu(value) else super().convert(value, param, ctx)


def device_option() -> Decorator[Any]:
    """Return the option that says where the model is."""
    return click.option(
        "--device",
        default=Settings.device,
        show_default=True,
        type=_Device(),
        help="Where the model is; cuda:1 is the second of several GPUs.",
    )


def trusts(condition: str = "") -> Decorator[Any]:
    """Return the options that let a model do what could harm.

    Args:
        condition: what the help begins with.
    """
    return stack(
        switch("--trust-remote-code", f"{condition}Run code that comes with the model."),
        switch("--allow-pickle", f"{condition}Load pickled weights if there are no others."),
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
        text(
            "--model",
            Settings.model,
            "testbed, testbed-without-forget, a checkpoint folder, or owner/name[@revision].",
        ),
        text(
            "--data",
            TESTBED,
            "What steps learn from and what judges them: testbed, paper, or a YAML file.",
        ),
        *((judged_by,) if split else ()),
        integer(
            "--window",
            Settings.window,
            0,
            "Tokens that perplexity scores together; 0: as many as the data's own.",
            MOST_WINDOW,
        ),
        integer(
            "--stride",
            Settings.stride,
            0,
            "Tokens after which perplexity's next window begins; 0: windows do not overlap.",
            MOST_WINDOW,
        ),
        choice(
            "--tail",
            Settings.tail,
            TAILS,
            "Whether the last window of a text counts that is shorter than the others.",
        ),
        text(
            "--criteria",
            Settings.criteria,
            "What is measured: mmlu,wmdp; all: what there is data for; all,edit_exact: more.",
        ),
        integer(
            "--limit",
            Settings.limit,
            0,
            "The most items of each criterion, a stratified sample; 0: all.",
            MOST_ITEMS,
        ),
        choice(
            "--prompt-format",
            Settings.prompt_format,
            PROMPT_FORMATS,
            "How the prompts of edits and questions are given: as they are, or as a chat.",
        ),
        choice(
            "--recompress",
            Settings.recompress,
            RECOMPRESS,
            "Whether a compression that later steps undid is applied again at the end; preset: as"
            " the preset of a grid says, else auto.",
        ),
        choice("--checkpoints", checkpoints, CHECKPOINTS, "Whose checkpoints are logged."),
        device_option(),
        choice("--dtype", Settings.dtype, DTYPES, "auto: float32 on a CPU, bfloat16 on a GPU."),
        trusts(),
        text("--experiment", EXPERIMENT, "Name of the MLflow experiment."),
    )


def ray_resources() -> Decorator[Any]:
    """Return the options of every command that may run on Ray."""
    return stack(
        click.option(
            "--workers",
            default=1,
            show_default=True,
            type=Integer(1),
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
