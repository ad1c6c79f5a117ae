"""What the command lines share: bad input is one line. Imports no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from interventions.errors import InvalidInput


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Also of what argparse ends the process for, such as a missing argument."""
        raise InvalidInput(message)


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """An empty command line of `python -m module`; names are to be written out."""
    return _Parser(
        prog=f"python -m {module}",
        description=description,
        exit_on_error=False,
        allow_abbrev=False,  # a grid's --seed would be taken for --seeds
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def read(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; raises InvalidInput on one that is unknown or unreadable."""
    try:
        given, unknown = made.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise InvalidInput(str(error)) from error
    if unknown:
        valid = ", ".join(
            option.strip("-") for option in made._option_string_actions if option.startswith("--")
        )
        raise InvalidInput(f"unknown parameter {unknown[0]!r}; valid: {valid}")
    return given
