"""The error for what a user gave, and the checks that raise it everywhere in the same words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class InvalidInput(ValueError):
    """Say in one line what was given that is wrong, and what is valid.

    Raised before any weight is loaded; the command line prints the line and ends with status 2.

    Example:
        >>> from interventions.composition import Composition
        >>> Composition.parse("wnda")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: no intervention is named 'wnda'. ...
    """


def one_of(name: str, value: str, valid: Sequence[str]) -> str:
    """Return ``value`` if it is valid.

    Args:
        name: what the user calls it, such as "device".
        value: what was given.
        valid: every value that may be given.

    Raises:
        InvalidInput: it is none of them; the line names the nearest and all.

    Example:
        >>> one_of("device", "cpu", ("auto", "cpu", "cuda"))
        'cpu'
        >>> one_of("device", "gpu", ("auto", "cpu", "cuda"))
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: device must be auto or cpu or cuda, but got 'gpu'
    """
    if value not in valid:
        raise InvalidInput(f"{name} must be {' or '.join(valid)}, but got {value!r}")
    return value


def did_you_mean(name: str, known: Iterable[str], most: int = 1, cutoff: float = 0.5) -> str:
    """Return a sentence that proposes the nearest known names; "" if none is near.

    The sentence begins with a space, so that it can be put after another one.

    Args:
        name: what was given.
        known: every valid name.
        most: how many names to propose.
        cutoff: how near a name must be, from 0 (any) to 1 (equal).

    Example:
        >>> did_you_mean("wnda", ["awq", "wanda"])
        " Did you mean 'wanda'?"
        >>> did_you_mean("zzz", ["awq", "wanda"])
        ''
    """
    nearest = difflib.get_close_matches(name, known, n=most, cutoff=cutoff)
    return f" Did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
