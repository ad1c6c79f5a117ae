"""Read and check the values that both kinds of sweeps, grids and studies, get from a user."""

from __future__ import annotations

import re

from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from interventions.errors import MOST_NAME, InvalidInput, plain_text, shown


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
    if not isinstance(name, str) or not re.fullmatch(r"[\w .+-]+", name[: MOST_NAME + 1]):
        raise InvalidInput(
            f"name must be of letters, digits, spaces and . + - _, but got {shown(name)}"
        )
    return plain_text("name", name)


def read_digits(text: str) -> int | None:
    """Return an integer written with the digits 0 to 9, and a sign or not; None for all else.

    Python reads more than that: digits of all scripts, and underscores between them.

    Example:
        >>> read_digits("-12"), read_digits("1_2"), read_digits("1.5")
        (-12, None, None)
    """
    is_number = re.fullmatch(r"\s*[+-]?[0-9]{1,30}\s*", text)
    return int(text) if is_number else None


def number_text(value: object) -> str:
    """Return a number as text, whether it is one, or text already; it never raises.

    Example:
        >>> number_text(2), number_text(1.0), number_text("0.5")
        ('2', '1', '0.5')
    """
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else shown(value)


def check_text(name: str, value: object) -> None:
    """Raise InvalidInput if a value is no text, or so long that MLflow would cut the param of it.

    Args:
        name: what the user calls it, for the error.
        value: what was given.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{name} must be text, but got {shown(value)}")
    if len(value) > MAX_PARAM_VAL_LENGTH:
        raise InvalidInput(
            f"{name} may have {MAX_PARAM_VAL_LENGTH} characters, as MLflow's params, but got"
            f" {len(value)}: {shown(value, 100)}"
        )


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
    if not isinstance(text, str) or text.lower() not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false, but got {shown(text)}")
    return text.lower() == "true"
