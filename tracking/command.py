"""What the command lines share: settings, and bad input as one line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from interventions.base import PROFILES
from interventions.registry import InvalidInput
from tracking import store
from tracking.plan import DEVICES, KEEP, Settings


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """An empty command line of `python -m module`."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        exit_on_error=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_settings(made: argparse.ArgumentParser, checkpoints: str = Settings.checkpoints) -> None:
    """The settings that every command has which runs compositions; ``checkpoints`` is that one's default."""
    made.add_argument("--model", default=Settings.model, help="testbed, a checkpoint folder, or a Hugging Face id")
    made.add_argument("--data", default=Settings.data, help="what to learn from and to judge by: testbed or paper")
    made.add_argument("--recompress", default=Settings.recompress, help="auto, never or paper")
    made.add_argument("--checkpoints", default=checkpoints, help=f"logged: {', '.join(KEEP)}")
    made.add_argument("--device", default=Settings.device, help=", ".join(DEVICES))
    made.add_argument("--dtype", default=Settings.dtype, help="auto, float32, bfloat16, float16")
    made.add_argument("--experiment", default=store.EXPERIMENT, help="name of the MLflow experiment")


def read(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; raises InvalidInput on one that is unknown or unreadable."""
    try:
        given, unknown = made.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise InvalidInput(str(error)) from error
    if unknown:
        valid = ", ".join(option.strip("-") for option in made._option_string_actions if option.startswith("--"))
        raise InvalidInput(f"unknown parameter {unknown[0]!r}; valid: {valid}")
    return given


def profile(data: str) -> str:
    """Whose defaults a step has; an unknown one is refused later, with the settings."""
    return data if data in PROFILES else PROFILES[0]
