"""What the command lines share: bad input is one line. Imports no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from interventions.registry import InvalidInput


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """An empty command line of `python -m module`."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        exit_on_error=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


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
