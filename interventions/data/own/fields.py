"""Take the fields of a row out of columns: by name, by path, by template, or as a constant."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from interventions.data.own.schema import row_schema
from interventions.errors import InvalidInput, did_you_mean, shown

_COLUMN = re.compile(r"\{([^{}]+)\}")
_LISTS = ("rephrasings", "choices", "locality", "portability")
_TYPO = 0.7  # how near to a field's name a column's must be to be taken for a slip


def row_fields(
    kind: str, columns: Any, mapping: Mapping[str, Any], place: str, is_inline: bool
) -> dict[str, Any]:
    """Return the fields of a row.

    Args:
        kind: "edit", "prompt", "question" or "text".
        columns: the row as it was read: a mapping, or for a text the text itself.
        mapping: field -> where it comes from; a field that is not named has a column of its name.
        place: file and row, for the message.
        is_inline: whether the row stands in the description, where a name that is not known is a
            slip; a file may have columns that are for something else.

    Raises:
        InvalidInput: the row is no mapping, or lacks a column that the mapping names.

    Example:
        >>> row_fields("text", {"q": "Who?", "a": "Ann"}, {"text": "{q} {a}"}, "row 1", False)
        {'text': 'Who? Ann'}
    """
    known = row_schema(kind)
    if kind == "text" and isinstance(columns, str):
        return {"text": columns}
    if not isinstance(columns, Mapping):
        raise InvalidInput(
            f"{place} must be a mapping with {', '.join(known)}, but got {shown(columns, 80)}"
        )
    for field in mapping:
        if field not in known:
            raise InvalidInput(
                f"{place}: fields names {shown(field, 80)}, which no {kind} has."
                f"{did_you_mean(field, known)} Known: {', '.join(known)}"
            )
    row = {
        field: _value(mapping[field], columns, f"{place}: field {field!r}")
        if field in mapping
        else columns[field]
        for field in known
        if field in mapping or field in columns
    }
    _check_slips(columns, known, mapping, place, is_inline)
    return {
        field: _as_list(value, f"{place}: field {field!r}") if field in _LISTS else value
        for field, value in row.items()
    }


def _value(source: Any, columns: Mapping[str, Any], place: str) -> Any:
    if isinstance(source, Mapping):
        return source["value"]
    if isinstance(source, list):
        return [_value(part, columns, place) for part in source]
    if not _COLUMN.search(source):
        return _column(source, columns, place)

    def filled(match: re.Match[str]) -> str:
        value = _column(match[1], columns, place)
        if not isinstance(value, str):
            raise InvalidInput(
                f"{place}: column {shown(match[1], 60)} must be text, but got {shown(value, 60)}"
            )
        return value

    return _COLUMN.sub(filled, source)


def _column(path: str, columns: Mapping[str, Any], place: str) -> Any:
    """Return what a path leads to: a column, or a.b for b in a, or a.0 for the first of a."""
    if path in columns:
        return columns[path]
    value: Any = columns
    for name in path.split("."):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit():
            if int(name) >= len(value):
                raise InvalidInput(f"{place}: {shown(path, 60)}: there are {len(value)} entries")
            value = value[int(name)]
        else:
            known = ", ".join(map(str, columns))
            raise InvalidInput(
                f"{place} comes from column {shown(path, 60)}, which the row lacks; it has:"
                f" {shown(known, 120)[1:-1]}"
            )
    return value


def _check_slips(
    columns: Mapping[str, Any],
    known: Mapping[str, Any],
    mapping: Mapping[str, Any],
    place: str,
    is_inline: bool,
) -> None:
    missing = [field for field in known if field not in columns and field not in mapping]
    for name in columns:
        if name in known:
            continue
        hint = did_you_mean(name, missing, cutoff=_TYPO)
        # without a mapping a near name is a slip; with one its author has looked at the columns
        if not mapping and (hint or is_inline):
            raise InvalidInput(
                f"{place}: no field is named {shown(name, 80)}.{hint} Known: {', '.join(known)}"
            )


def _as_list(value: Any, place: str) -> Any:
    """Return a list; a cell of a CSV file holds one as JSON, or is its only entry.

    Raises:
        InvalidInput: it looks like a list, and is none in JSON, as pandas writes them.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                return json.loads(text)
            except (json.JSONDecodeError, RecursionError) as error:
                if text.endswith("]"):
                    raise InvalidInput(
                        f"{place} must be a list in JSON, with double quotes, or one text, but got"
                        f" {shown(text, 80)}"
                    ) from error
                return [value]  # [sic] a text
        return [value] if text else []
    # parquet and tables have arrays, and None for what is missing
    if value is None:
        return []
    return list(value) if isinstance(value, tuple) else value
