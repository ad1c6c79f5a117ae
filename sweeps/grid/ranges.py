"""Read the numbers that a grid varies: lengths of compositions, seeds, batches of edits."""

from __future__ import annotations

from collections.abc import Sequence

from interventions.errors import InvalidInput, shown
from sweeps.values import read_digits

Numbers = str | int | Sequence[int]  # as on the command line, or as Python values

_MOST = 10_000  # a typing error must not enumerate for hours


def read_range(name: str, value: Numbers, least: int = 0) -> list[int]:
    """Read a number or a range with both its ends.

    Args:
        name: what the user calls it, for the error.
        value: ``2`` or ``"2"``: that number; ``"0..2"``: from 0 to 2; ``[0, 2]``: these numbers.
        least: the smallest valid number.

    Raises:
        InvalidInput: something else, an empty range, or a number out of bounds.

    Example:
        >>> read_range("length", "0..2")
        [0, 1, 2]
        >>> read_range("length", [2])
        [2]
    """
    numbers = _parse_range(value) if isinstance(value, str) else _integers(value)
    if not _is_each_once(numbers, least) or max(numbers) > _MOST or len(numbers) > _MOST:
        raise InvalidInput(
            f"{name} must be a number or a range such as {least}..{least + 2}, up to {_MOST},"
            f" but got {shown(value)}"
        )
    return numbers


def read_indices(name: str, value: Numbers) -> list[int]:
    """Read how many, counted from 0, or which.

    Args:
        name: what the user calls it, for the error.
        value: ``3`` or ``"3"``: the first three (0, 1, 2); ``"0,4"`` or ``[0, 4]``: these two.

    Raises:
        InvalidInput: something else, none, or one of them twice.

    Example:
        >>> read_indices("seeds", 3)
        [0, 1, 2]
        >>> read_indices("seeds", "0,4")
        [0, 4]
    """
    if isinstance(value, str):
        indices = _parse_indices(value)
    else:
        indices = _integers(value)
        if isinstance(value, int):
            indices = _first(indices)
    if not _is_each_once(indices, 0) or len(indices) > _MOST:
        raise InvalidInput(
            f"{name} must be how many (3, up to {_MOST}) or which (0,4), each once,"
            f" but got {shown(value)}"
        )
    return indices


def _parse_range(text: str) -> list[int]:
    first, dots, last = text.partition("..")
    low, high = read_digits(first), read_digits(last if dots else first)
    if low is None or high is None:
        return []
    # one number beyond the bound shows that the range is invalid; the rest is not made
    return list(range(low, min(high, _MOST + 1) + 1))


def _parse_indices(text: str) -> list[int]:
    # where there are more numbers than are valid, the last part is what is left, unread
    parts = text.split(",", _MOST)
    integers = [number for part in parts if (number := read_digits(part)) is not None]
    if len(integers) < len(parts):
        return []
    return integers if "," in text else _first(integers)


def _first(counts: list[int]) -> list[int]:
    """Return the indices below a count; one too many if there are more than are valid."""
    return list(range(min(counts[0], _MOST + 1))) if counts else []


def _integers(value: int | Sequence[int]) -> list[int]:
    """Return Python values as a list; an empty one if any is no integer."""
    # one value beyond the bound is enough; a range may be longer than the memory
    values = list(value[: _MOST + 1]) if isinstance(value, list | tuple | range) else [value]
    integers = [number for number in values if isinstance(number, int)]
    # True is an int, but nobody means 1 by it
    if len(integers) < len(values) or any(isinstance(number, bool) for number in values):
        return []
    return integers


def _is_each_once(numbers: list[int], least: int) -> bool:
    """Return whether there are numbers, none of them twice or below ``least``."""
    return bool(numbers) and min(numbers) >= least and len(set(numbers)) == len(numbers)
