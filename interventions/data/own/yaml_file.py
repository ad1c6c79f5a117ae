"""Read a YAML file that may be anybody's: bounded, plain values only, nothing named twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from interventions.data.own.files import read_file
from interventions.errors import InvalidInput, shown

MOST_BYTES = 2**22  # of the file; more rows go into files of their own
_MOST_DEPTH = 20  # of lists and mappings in each other
# libyaml's is ten times faster, where PyYAML was built with it
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _UniqueKeys(_LOADER):
    """Reads as ``safe_load`` does, but refuses a key that a mapping has twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value:
            key = getattr(key_node, "value", None)
            if isinstance(key, str) and key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key[:50]!r} is there twice", key_node.start_mark
                )
            keys.add(key if isinstance(key, str) else None)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file is.

    Raises:
        InvalidInput: the file cannot be read or is too large; it is no YAML, or no mapping; it uses
            anchors, which can stand for more than fits into memory, or tags, which name code.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "ours.yaml"
        >>> _ = path.write_text("retain: [a text]")
        >>> read_yaml(path)
        {'retain': ['a text']}
    """
    place = shown(path.name, 80)
    try:
        text = read_file(path, MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{place} is no UTF-8 text: {error.reason}") from error
    try:
        _check_events(text, place)
        loaded = yaml.load(text, Loader=_UniqueKeys)  # a subclass of the safe loader
    # a date such as 2024-13-01 raises a ValueError
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, InvalidInput):
            raise
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error) or "nested too deeply"
        raise InvalidInput(f"{place} cannot be read as YAML{line}: {problem}") from error
    if not isinstance(loaded, dict):
        raise InvalidInput(
            f"{place} must be a mapping, such as 'edits: edits.jsonl', but is {shown(loaded, 80)}"
        )
    return loaded


def _check_events(text: str, place: str) -> None:
    depth = 0
    events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InvalidInput(f"{place} line {line}: anchors and aliases (& and *) are not read")
        if getattr(event, "tag", None):
            raise InvalidInput(f"{place} line {line}: tags ({shown(event.tag, 50)}) are not read")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MOST_DEPTH:
            raise InvalidInput(
                f"{place} line {line}: lists and mappings are nested deeper than {_MOST_DEPTH}"
            )
