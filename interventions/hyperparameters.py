"""Hyperparameters are the fields of a frozen dataclass; declared, checked and described here."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from interventions.arguments import checked
from interventions.errors import InvalidInput, did_you_mean, shown

# greatest values of fields that many methods have: more would run for months, or fit no memory
MOST_STEPS = 100_000  # of training
MOST_BATCH = 1024  # texts
MOST_BATCHES = 10_000  # of edits, one after another
MOST_TEXTS = 1_000_000  # that a step reads
MOST_TOKENS = 131_072  # of a text: the longest context of today's open models

# for fields that declare no bounds of their own
MOST_ITEMS = 1000  # of a tuple: more layers than any model has
MOST_CHARACTERS = 1000  # of a string: names of modules are shorter
MOST_INTEGER = 2**63 - 1  # what a tensor of integers holds


@checked
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
    """Declare a field of an intervention.

    Args:
        default: the value on the testbed.
        help: what it is, with its unit.
        paper: the value at full scale (``data=paper``), where it differs.
        low: least value.
        high: greatest value.
        above: exclusive lower bound.
        below: exclusive upper bound.

    Raises:
        InvalidInput: a bound is no number, or none is between the bounds.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Noise:
        ...     scale: float = hyperparameter(0.01, "standard deviation of the noise", low=0)
        >>> Noise().scale
        0.01
    """
    bounds = {"low": low, "high": high, "above": above, "below": below}
    if any(map(math.isnan, bounds.values())) or max(low, above) > min(high, below):
        raise InvalidInput(f"{shown(help, 50)}: no number is within the bounds {shown(bounds)}")
    return dataclasses.field(
        default=default, metadata={"help": help, "paper": paper, "bounds": bounds}
    )


def fields_of(cls: type) -> dict[str, dataclasses.Field[Any]]:
    """Return the hyperparameters of an intervention class by name, in order."""
    return {field.name: field for field in dataclasses.fields(cls) if field.init}


def default_value(field: dataclasses.Field[Any], profile: str) -> Any:
    """Return the field's default on a profile ("testbed", "paper")."""
    value = field.metadata.get(profile, dataclasses.MISSING)
    return field.default if value is dataclasses.MISSING else value


def with_defaults(cls: type, name: str, values: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """Return the values of all fields: those of ``values``, and the profile's defaults.

    Args:
        cls: an intervention.
        name: how the message calls it.
        values: by field.
        profile: "testbed" or "paper".

    Raises:
        InvalidInput: the intervention has no such field.
    """
    fields = fields_of(cls)
    for key in values:
        if key not in fields:
            hint = did_you_mean(key, fields, cutoff=0.4)
            raise InvalidInput(
                f"{name} has no hyperparameter {shown(key, 100)}.{hint}"
                f" It has: {', '.join(fields) or 'none'}"
            )
    return {key: values.get(key, default_value(field, profile)) for key, field in fields.items()}


def check_fields(instance: Any, name: str) -> None:
    """Check every field of an intervention, and coerce it to its type.

    Ints become floats, and lists tuples, where the field is one.

    Args:
        instance: a frozen dataclass.
        name: how the message calls it.

    Raises:
        InvalidInput: a value is of a wrong type or out of its bounds.
    """
    hints = get_type_hints(type(instance))
    for key, field in fields_of(type(instance)).items():
        original = getattr(instance, key)
        value = _coerce(original, hints[key])
        if value is _WRONG:
            raise InvalidInput(
                f"{name}.{key} must be {_describe(hints[key])}, but got {shown(original)}"
            )
        if isinstance(value, tuple) and len(value) > MOST_ITEMS:
            raise InvalidInput(
                f"{name}.{key} must have at most {MOST_ITEMS} items, but got {len(original)}"
            )
        for item in value if isinstance(value, tuple) else (value,):
            _check_text(f"{name}.{key}", item)
            _check_bounds(f"{name}.{key}", item, field.metadata.get("bounds", {}))
        # a frozen dataclass refuses plain assignment
        object.__setattr__(instance, key, value)


_WRONG = object()


def _coerce(value: Any, hint: Any) -> Any:
    """Return the value as the hint's type; _WRONG if it is none."""
    if get_origin(hint) in (Union, types.UnionType):
        for option in get_args(hint):
            coerced = _coerce(value, option)
            if coerced is not _WRONG:
                return coerced
        return _WRONG
    if get_origin(hint) is Literal:
        # compared with its like only: True is 1, and an array equals nothing as a whole
        choices = [option for option in get_args(hint) if type(option) is type(value)]
        return value if value in choices else _WRONG
    if get_origin(hint) is tuple:
        return _coerce_tuple(value, get_args(hint)[0])
    # int and float must name one checkpoint
    if hint is float and type(value) is int:
        return _as_float(value)
    if hint is type(None):
        return None if value is None else _WRONG
    # exactly of that type: True is an int, but no number of steps
    return value if type(value) is hint else _WRONG


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _coerce_tuple(value: Any, item_hint: Any) -> Any:
    # layers=3 is layers=(3,)
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Sequence):
        value = (value,)
    # one item more than is valid shows that there are too many
    coerced = tuple(_coerce(item, item_hint) for item in value[: MOST_ITEMS + 1])
    is_wrong = any(item is _WRONG for item in coerced) or not coerced
    return _WRONG if is_wrong else coerced


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


def _check_text(name: str, value: Any) -> None:
    if isinstance(value, str) and not (len(value) <= MOST_CHARACTERS and value.isprintable()):
        raise InvalidInput(
            f"{name} must be one line of at most {MOST_CHARACTERS} printable characters,"
            f" but got {shown(value)}"
        )


def _check_bounds(name: str, value: Any, bounds: Mapping[str, float]) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    low, high = bounds.get("low", -math.inf), bounds.get("high", math.inf)
    above, below = bounds.get("above", -math.inf), bounds.get("below", math.inf)
    is_number = abs(value) <= MOST_INTEGER if isinstance(value, int) else math.isfinite(value)
    within_open = (value > above or above == -math.inf) and (value < below or below == math.inf)
    if is_number and low <= value <= high and within_open:
        return
    limits = [
        *([f"at least {low:g}"] if low > -math.inf else []),
        *([f"greater than {above:g}"] if above > -math.inf else []),
        *([f"at most {high:g}"] if high < math.inf else []),
        *([f"less than {below:g}"] if below < math.inf else []),
    ]
    unbounded = "finite" if isinstance(value, float) else f"at most {MOST_INTEGER} in size"
    limits_in_words = " and ".join(limits) or unbounded
    raise InvalidInput(f"{name} must be {limits_in_words}, but got {shown(value)}")
