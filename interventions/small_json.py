"""Read a JSON object out of a file that nobody has checked: its size and depth have bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interventions.errors import InvalidInput

MOST_BYTES = 2**26  # the index of a model with 100,000 tensors has a tenth of it
MOST_LEVELS = 50  # transformers copies what it reads by recursion


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        InvalidInput: the file cannot be read, is too large or too deeply nested, or is not a JSON
            object; the line begins with the file's name.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "config.json"
        >>> _ = path.write_text('{"model_type": "llama"}')
        >>> read_json_object(path)
        {'model_type': 'llama'}
        >>> _ = path.write_text("[]")
        >>> read_json_object(path)
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: config.json is not a JSON object
    """
    name = path.name
    if not path.is_file():  # reading a pipe would wait for ever
        raise InvalidInput(f"{name} is not a regular file")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InvalidInput(f"{name} has {size} bytes, over {MOST_BYTES}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{name} cannot be read: {error}") from error
    return json_object(content, name)


def json_object(content: bytes, name: str) -> dict[str, Any]:
    """Return the object in the content of a JSON file.

    Args:
        content: of the file, which is not too large.
        name: the file's, for the message.

    Raises:
        InvalidInput: it is too deeply nested, or is not a JSON object.
    """
    try:
        value = json.loads(content.decode())
    except RecursionError as error:
        raise InvalidInput(f"{name} is nested too deeply") from error
    except ValueError as error:  # of the JSON, its numbers or its encoding
        raise InvalidInput(f"{name} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} is not a JSON object")
    if _is_deeper(value, MOST_LEVELS):
        raise InvalidInput(f"{name} is nested over {MOST_LEVELS} levels deep")
    return value


def entries(value: object) -> Iterator[tuple[str, Any]]:
    """Yield every key of every object inside a JSON value, with its own value.

    Example:
        >>> sorted(entries({"a": [{"b": 1}]}))
        [('a', [{'b': 1}]), ('b', 1)]
    """
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            yield from current.items()
        waiting += _children(current)


def number_of_values(value: object) -> int:
    """Return how many values are inside a JSON value, at any depth, itself not counted.

    Example:
        >>> number_of_values({"a": [1, {"b": 2}]})
        4
    """
    count, waiting = 0, [value]
    while waiting:
        children = _children(waiting.pop())
        count += len(children)
        waiting += [child for child in children if isinstance(child, dict | list)]
    return count


def _is_deeper(value: object, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        children = [child for item in level for child in _children(item)]
        level = [child for child in children if isinstance(child, dict | list)]
    return bool(level)


def _children(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
