"""Hyperparameters are the fields of a frozen dataclass; this module declares, checks and prints them."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from interventions.errors import InvalidInput


def hyperparameter(
    default: Any,
    help: str,
    *,
    paper: Any = dataclasses.MISSING,
    low: float = -math.inf,
    high: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> Any:
    """A dataclass field.

    Args:
        default: the value on the testbed.
        help: what it is, with its unit.
        paper: the value at full scale (``data=paper``), where it differs.
        low: least value.
        high: greatest value.
        above: exclusive lower bound.
        below: exclusive upper bound.
    """
    bounds = {"low": low, "high": high, "above": above, "below": below}
    return dataclasses.field(
        default=default, metadata={"help": help, "paper": paper, "bounds": bounds}
    )


def fields_of(cls: type) -> dict[str, dataclasses.Field[Any]]:
    """The hyperparameters of an intervention class, in order."""
    return {f.name: f for f in dataclasses.fields(cls) if f.init}


def default(field: dataclasses.Field[Any], profile: str) -> Any:
    """The field's default on a profile ("testbed", "paper")."""
    value = field.metadata.get(profile, dataclasses.MISSING)
    return field.default if value is dataclasses.MISSING else value


def fill(cls: type, name: str, given: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """All fields: what was given, the profile's defaults for the rest; raises InvalidInput on an unknown one."""
    known = fields_of(cls)
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InvalidInput(
                f"{name} has no hyperparameter {key!r}.{hint} It has: {', '.join(known) or 'none'}"
            )
    return {key: given.get(key, default(field, profile)) for key, field in known.items()}


def check(instance: Any, name: str) -> None:
    """Coerce ints to floats and lists to tuples where the field is one; raise InvalidInput on a wrong type or value."""
    hints = get_type_hints(type(instance))
    for key, field in fields_of(type(instance)).items():
        given = getattr(instance, key)
        value = _coerce(given, hints[key])
        if value is _WRONG:
            raise InvalidInput(f"{name}.{key} must be {_describe(hints[key])}, but got {given!r}")
        for number in value if isinstance(value, tuple) else (value,):
            _check_bounds(f"{name}.{key}", number, field.metadata.get("bounds", {}))
        object.__setattr__(instance, key, value)


_WRONG = object()


def _coerce(value: Any, hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        for option in get_args(hint):
            coerced = _coerce(value, option)
            if coerced is not _WRONG:
                return coerced
        return _WRONG
    if get_origin(hint) is Literal:
        return value if value in get_args(hint) else _WRONG
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        if isinstance(value, str) or not isinstance(value, Sequence):
            value = (value,)  # layers=3 is layers=(3,)
        coerced = tuple(_coerce(v, item) for v in value)
        return _WRONG if _WRONG in coerced or not coerced else coerced
    if hint is float and type(value) is int:
        return float(value)  # int and float must name one checkpoint
    if hint is type(None):
        return None if value is None else _WRONG
    return value if type(value) is hint else _WRONG


def _describe(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_describe(option) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"a tuple of {_describe(get_args(hint)[0])}, such as (1, 2)"
    names = {
        int: "an integer",
        float: "a number",
        str: "a string",
        bool: "True or False",
        type(None): "None",
    }
    return names.get(hint, str(hint))


def _check_bounds(name: str, value: Any, bounds: Mapping[str, float]) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    low, high = bounds.get("low", -math.inf), bounds.get("high", math.inf)
    above, below = bounds.get("above", -math.inf), bounds.get("below", math.inf)
    if (
        math.isfinite(value)
        and low <= value <= high
        and (value > above or above == -math.inf)
        and value < below
    ):
        return
    limits = [
        *([f"at least {low:g}"] if low > -math.inf else []),
        *([f"greater than {above:g}"] if above > -math.inf else []),
        *([f"at most {high:g}"] if high < math.inf else []),
        *([f"less than {below:g}"] if below < math.inf else []),
    ]
    raise InvalidInput(f"{name} must be {' and '.join(limits) or 'finite'}, but got {value!r}")
