"""Check the arguments of public functions against their annotations, all in one place."""

from __future__ import annotations

import functools
import inspect
import numbers
import types
from collections.abc import Callable, Iterable, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from interventions.errors import InvalidInput, did_you_mean, shown

if TYPE_CHECKING:
    import pandas as pd

P = ParamSpec("P")
R = TypeVar("R")

_GREATEST = 10**300  # near the greatest float
_WORDS: dict[Any, str] = {
    bool: "True or False",
    float: "a number",
    int: "an integer",
    str: "a string",
    type(None): "None",
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with its arguments checked before its first line.

    Wrong names and wrong types raise ``InvalidInput``, as every other wrong input does. What an
    iterator will yield is not looked at.

    Example:
        >>> @checked
        ... def double(number: int) -> int:
        ...     return 2 * number
        >>> double("a")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: number must be an integer, but got 'a'
        >>> double(nummer=1)
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: double has no argument 'nummer'. ...
    """
    signature = inspect.signature(function)
    hints: dict[str, Any] = {}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        # not before the first call: the names in annotations may be defined further down
        if not hints:
            hints.update(get_type_hints(function))
        for name, value in _bind(signature, function.__name__, args, kwargs).items():
            if name in hints:
                check_type(name, value, hints[name])
        return function(*args, **kwargs)

    return call


def check_type(name: str, value: object, hint: Any) -> None:
    """Raise InvalidInput if a value is not what an annotation says; True is no number.

    Example:
        >>> check_type("names", ["mmlu"], Iterable[str])
        >>> check_type("names", "mmlu", Iterable[str])
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: names must be several of a string, but got 'mmlu'
    """
    if not _matches(value, hint):
        raise InvalidInput(f"{name} must be {type_in_words(hint)}, but got {shown(value)}")


def check_columns(name: str, frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Raise InvalidInput if a table lacks a column.

    Args:
        name: what the user calls the table.
        frame: the table.
        columns: that are needed.
    """
    lacking = [column for column in columns if column not in frame.columns]
    if lacking:
        known = ", ".join(map(str, frame.columns[:20])) or "none"
        raise InvalidInput(
            f"{name} must have a column {lacking[0]!r}, but its columns are: {known}"
        )


def type_in_words(hint: Any) -> str:
    """Return an annotation as a message has it.

    Example:
        >>> type_in_words(int | None), type_in_words(Literal["best", "worst"])
        ('an integer or None', "one of 'best', 'worst'")
    """
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(type_in_words(option) for option in options)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, options))
    if origin is tuple and options[-1] is not Ellipsis:
        return f"({', '.join(type_in_words(option) for option in options)})"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping of {type_in_words(options[0])} to {type_in_words(options[1])}"
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return f"several of {type_in_words(options[0])}"
    if origin is not None:
        return "a function"
    return _WORDS.get(hint, f"a {getattr(hint, '__name__', hint)}")


def _bind(
    signature: inspect.Signature, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the given arguments by name; InvalidInput where the function does not take them."""
    parameters = signature.parameters
    has_any_name = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in kwargs:
        if key not in parameters and not has_any_name:
            hint = did_you_mean(key, parameters)
            raise InvalidInput(
                f"{name} has no argument {shown(key, 100)}.{hint} It has: {', '.join(parameters)}"
            )
    try:
        return signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise InvalidInput(f"{name}: {error}; its arguments: {', '.join(parameters)}") from error


def _matches(value: Any, hint: Any) -> bool:
    origin, options = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if origin in (Union, types.UnionType):
        return any(_matches(value, option) for option in options)
    if origin is Literal:
        return isinstance(value, str) and value in options
    if origin is not None:
        return _matches_generic(value, origin, options)
    if hint in (int, float) and isinstance(value, bool):
        return False  # an int for Python, but nobody means 1 by it
    if hint is float:
        # an integer of 400 digits has no float
        is_huge = isinstance(value, int) and abs(value) > _GREATEST
        return isinstance(value, numbers.Real) and not is_huge
    return isinstance(value, hint)


def _matches_generic(value: Any, origin: Any, options: tuple[Any, ...]) -> bool:
    if not isinstance(value, origin):
        return False
    if issubclass(origin, Mapping):
        return all(_matches(key, options[0]) for key in value) and all(
            _matches(item, options[1]) for item in value.values()
        )
    if origin is tuple and options[-1] is not Ellipsis:
        return len(value) == len(options) and all(map(_matches, value, options))
    if issubclass(origin, Iterable):
        # a string is an iterable of strings, but nobody means its letters
        if isinstance(value, str | bytes):
            return False
        if isinstance(value, range):  # of integers alone, and maybe of very many
            return not value or _matches(value[0], options[0])
        # an iterator can be read only once, and that is the function's right
        is_readable = isinstance(value, list | tuple | set | frozenset)
        return not is_readable or all(_matches(item, options[0]) for item in value)
    return True  # a function
