"""Read and check the values that both kinds of sweeps, grids and studies, get from a user."""

from __future__ import annotations

import re

from interventions.errors import InvalidInput


def check_sweep_name(name: str) -> str:
    """Return the name of a sweep if a filter of MLflow can hold it.

    Raises:
        InvalidInput: it has a quote or another character that would end the filter's string.

    Example:
        >>> check_sweep_name("wanda levels, seed 1")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: name must be of letters, digits, spaces and . + - _, ...
        >>> check_sweep_name("wanda levels")
        'wanda levels'
    """
    if not re.fullmatch(r"[\w .+-]{1,200}", name):
        raise InvalidInput(f"name must be of letters, digits, spaces and . + - _, but got {name!r}")
    return name


def read_switch(name: str, text: str) -> bool:
    """Read "true" or "false", in any case.

    Args:
        name: what the user calls the switch, for the error.
        text: what was given.

    Raises:
        InvalidInput: the text is neither.

    Example:
        >>> read_switch("dry_run", "True")
        True
    """
    if text.lower() not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false, but got {text!r}")
    return text.lower() == "true"
