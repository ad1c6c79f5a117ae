"""Check a description and its rows against the JSON Schema that is shipped beside this file."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from interventions.errors import InvalidInput, did_you_mean, shown

FILE = Path(__file__).with_name("schema.json")
_MOST = 80  # characters of a value that a message repeats
_COMMIT = "a commit of 40 hexadecimal digits, as a branch moves"
_FORMS = {  # what the patterns of entries say, in words
    "name": "at most 100 letters, digits, dots, hyphens and _",
    "hub": f"owner/name@ and {_COMMIT}",
    "revision": _COMMIT,
    "task": "the name of one of lm-eval's own tasks; no file, which could run code",
}


@functools.cache
def schema() -> dict[str, Any]:
    """Return the shipped schema."""
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def row_schema(kind: str) -> dict[str, Any]:
    """Return the fields of a row, by name.

    Args:
        kind: "edit", "prompt", "question" or "text".

    Example:
        >>> list(row_schema("prompt"))
        ['prompt', 'answer']
    """
    fields: dict[str, Any] = schema()["$defs"][f"{kind}_row"]["properties"]
    return fields


def check_description(description: object, place: str) -> None:
    """Check what a YAML file says, but for the rows themselves.

    Args:
        description: as it was read.
        place: the file, for the message.

    Raises:
        InvalidInput: it is not as the schema says; names the entry.
    """
    _check(_validator(""), description, place)


def check_row(kind: str, row: object, place: str) -> None:
    """Check one row.

    Args:
        kind: "edit", "prompt", "question" or "text".
        row: its fields, by name.
        place: file and row, for the message.

    Raises:
        InvalidInput: a field is missing or of a wrong type; names it.
    """
    _check(_validator(kind), row, place)


def _is_number(_: object, value: object) -> bool:
    """Return whether a value is a number to JSON, which has no NaN: it is within all bounds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("number", _is_number),
)


@functools.cache
def _validator(kind: str) -> Validator:
    whole = schema()
    if not kind:
        return _Validator(whole)
    return _Validator({"$ref": f"#/$defs/{kind}_row", "$defs": whole["$defs"]})


def _check(validator: Validator, value: object, place: str) -> None:
    error = next(iter(validator.iter_errors(value)), None)
    if error is not None:
        raise InvalidInput(f"{place}: {_in_words(_innermost(error))}")


def _innermost(error: ValidationError) -> ValidationError:
    """Return what is wrong with an entry in that of several forms whose type it has."""
    if error.validator not in ("anyOf", "oneOf"):
        return error
    errors_of_form: dict[object, list[ValidationError]] = {}
    for inner in error.context:
        # a form may have forms of its own
        errors_of_form.setdefault(inner.schema_path[0], []).append(_innermost(inner))
    near = [
        errors
        for errors in errors_of_form.values()
        if not any(inner.validator == "type" and not inner.path for inner in errors)
    ]
    # one whose own forms all have another type is not meant; of two mappings, the one is that
    # lacks nothing, and the one that knows the fields
    for unlike in ("anyOf", "required", "additionalProperties"):
        fitting = [
            form
            for form in near
            if not any(inner.validator == unlike and not inner.path for inner in form)
        ]
        near = fitting or near
    return _innermost(near[0][0]) if len(near) == 1 else error


def _in_words(error: ValidationError) -> str:
    """Return a sentence on one violation that names the entry, what it must be, and what it is."""
    name = ".".join(map(str, error.absolute_path))
    field = f"field {name!r}" if name else "it"
    value, rule = shown(error.instance, _MOST), error.validator_value
    if error.validator == "required":
        missing = next(iter(key for key in rule if key not in error.instance), "")
        inside = f" of {name}" if name else ""
        known = ", ".join(map(str, list(error.instance)[:20])) or "nothing"
        return f"field {missing!r}{inside} is missing; there is: {shown(known)[1:-1]}"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known_fields = list(error.schema.get("properties", {}))
        unknown = next((key for key in error.instance if key not in known_fields), "")
        hint = did_you_mean(unknown, known_fields)
        inside = f" of {name}" if name else ""
        known = ", ".join(known_fields)
        return f"no field{inside} is named {shown(unknown, _MOST)}.{hint} Known: {known}"
    if error.validator == "oneOf":
        return f"{field} must have exactly one of {_alternatives(rule)}, but got {value}"
    if error.validator in ("minItems", "maxItems"):
        count = len(error.instance)
        bound = "at least" if error.validator == "minItems" else "at most"
        exact = error.schema.get("minItems") == error.schema.get("maxItems")
        amount = f"{'' if exact else bound + ' '}{rule}"
        return f"{field} must have {amount} entries, but got {count}: {value}"
    return f"{field} must be {_wanted(error)}, but got {value}"


def _alternatives(options: Iterable[Any]) -> str:
    return " or ".join(str(option["required"][0]) for option in options if "required" in option)


def _wanted(error: ValidationError) -> str:
    """Return what a value must be, in words."""
    rule = error.validator_value
    described = {
        "string": "text (a number needs quotes)",
        "integer": "an integer",
        "number": "a number",
        "array": "a list",
        "object": "a mapping",
    }
    if error.validator == "type":
        return described.get(str(rule), str(rule))
    if error.validator == "enum":
        return " or ".join(map(str, rule))
    if error.validator == "pattern":
        if rule == "\\S":
            return "text that is not blank"
        if rule.startswith("^[A-Za-z_]"):
            return "a name of letters, digits and underscores, the first no digit, at most 60"
        entry = str(error.absolute_path[-1]) if error.absolute_path else ""
        return _FORMS.get(entry, f"of the form {rule}")
    if error.validator in ("anyOf", "oneOf"):
        kinds = [described.get(option.get("type", ""), "") for option in _resolved(rule)]
        return " or ".join(dict.fromkeys(filter(None, kinds))) or "of another form"
    bounds = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "greater than",
        "exclusiveMaximum": "less than",
        "minProperties": "of a length of at least",
        "minLength": "of a length of at least",
        "maxLength": "of a length of at most",
    }
    return f"{bounds.get(str(error.validator), error.validator)} {rule}"


def _resolved(options: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    definitions = schema()["$defs"]
    for option in options:
        reference = str(option.get("$ref", "")).rpartition("/")[2]
        yield definitions.get(reference, option)
