"""Read rows out of files: JSON, JSONL, CSV, parquet and text."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from interventions.errors import InvalidInput, did_you_mean, shown

MOST_BYTES = 2**30  # of a file, and of the values of a parquet file
MOST_ROWS = 1_000_000  # of a file
TEXTS = ("paragraphs", "lines", "whole")

Row = tuple[str, Any]  # where it is, such as "row 3"; and what it is: a mapping, or a text


def find_file(name: str, folder: Path, place: str) -> Path:
    """Return the plain file that a description names.

    Args:
        name: as written; relative to the description's folder, or absolute.
        folder: the description's.
        place: what names it, for the message.

    Raises:
        InvalidInput: there is none, or a link inside the folder leads out of it.
    """
    written = Path(name).expanduser()
    try:
        path = (folder / written).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is a loop of links, or no path"
        raise InvalidInput(f"{place}: cannot read {shown(name, 120)}: {reason}") from error
    is_inside_by_name = not written.is_absolute() and ".." not in written.parts
    # a folder that somebody else packed may have links to what is not theirs
    if is_inside_by_name and not path.is_relative_to(folder.resolve()):
        raise InvalidInput(
            f"{place}: {shown(name, 120)} is a link that leads out of the folder of the YAML file;"
            " write the path itself"
        )
    if path.suffix.lower() not in _READERS:
        known = ", ".join(_READERS)
        hint = did_you_mean(path.suffix.lower(), _READERS)
        raise InvalidInput(
            f"{place}: {shown(name, 120)} must end in one of {known}; other files, code among"
            f" them, are not read.{hint}"
        )
    return path


def read_rows(path: Path, texts: str, place: str) -> list[Row]:
    """Return all rows of a file, each with where it is.

    Args:
        path: as ``find_file`` returns it.
        texts: how a text file is cut: "paragraphs", "lines" or "whole".
        place: what the file is for, for the message.

    Raises:
        InvalidInput: the file is too large, or is not what its name says.
    """
    read = _READERS[path.suffix.lower()]
    rows = []
    try:
        for row in read(path, texts):
            rows.append(row)
            if len(rows) > MOST_ROWS:
                raise InvalidInput(f"there are more than {MOST_ROWS} rows")
    # whatever the readers of the formats raise
    except (ValueError, OSError, RecursionError, csv.Error, MemoryError) as error:
        if isinstance(error, InvalidInput):
            reason = str(error)
        else:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            reason = f"cannot read it: {said}"
        raise InvalidInput(f"{place}: {reason}") from error
    return rows


def read_file(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return the content of a plain file.

    Raises:
        InvalidInput: it cannot be read, is a folder, a pipe or a device, or is too large.
    """
    name = shown(path.name, 80)
    try:
        # without O_NONBLOCK, opening a pipe would wait for its writer
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidInput(f"{name} is no file")
            if status.st_size > most_bytes:
                raise InvalidInput(
                    f"{name} has {status.st_size:,} bytes; at most {most_bytes:,} are read"
                )
            return file.read(most_bytes)
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(f"cannot read {name}: {reason}") from error


def _text_of(path: Path) -> str:
    return read_file(path).decode("utf-8-sig")


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"the field {shown(twice, 60)} is there twice")
    return mapping


def _json(path: Path, texts: str) -> Iterator[Row]:
    text = _text_of(path)
    try:
        loaded = json.loads(text, object_pairs_hook=_mapping)
    except json.JSONDecodeError:
        # some data sets of the hub have a row a line in files that are named so
        if not text.lstrip().startswith("{"):
            raise
        yield from _lines_of_json(text)
        return
    if not isinstance(loaded, list):
        raise InvalidInput(f"{shown(path.name, 80)} must be a list of rows")
    yield from ((f"row {number}", row) for number, row in enumerate(loaded, 1))


def _jsonl(path: Path, texts: str) -> Iterator[Row]:
    yield from _lines_of_json(_text_of(path))


def _lines_of_json(text: str) -> Iterator[Row]:
    # splitlines would cut at characters that a text may have
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield f"row {number}", json.loads(line, object_pairs_hook=_mapping)
        except InvalidInput as error:
            raise InvalidInput(f"row {number}: {error}") from error
        except json.JSONDecodeError as error:
            raise ValueError(f"row {number} is no JSON: {error.msg}") from error


def _csv(path: Path, texts: str) -> Iterator[Row]:
    text = _text_of(path)
    before = csv.field_size_limit(len(text))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = next(reader, [])
        if len(set(header)) < len(header) or not all(header):
            raise ValueError(f"its columns must have different names, but are {shown(header, 80)}")
        number = 0
        for cells in reader:
            if not cells:
                continue
            number += 1
            if len(cells) != len(header):
                raise ValueError(
                    f"row {number} has {len(cells)} columns, but the first line names {len(header)}"
                )
            yield f"row {number}", dict(zip(header, cells, strict=True))
    finally:
        csv.field_size_limit(before)


def _parquet(path: Path, texts: str) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    read_file(path)  # is it a plain file, and not too large
    try:
        file = parquet.ParquetFile(path)
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        if size > MOST_BYTES or file.metadata.num_rows > MOST_ROWS:
            raise InvalidInput(
                f"{shown(path.name, 80)} has {file.metadata.num_rows:,} rows of {size:,} bytes;"
                f" at most {MOST_ROWS:,} and {MOST_BYTES:,} are read"
            )
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
    except pa.ArrowException as error:
        raise ValueError(f"{str(error).splitlines()[0]}") from error


def _text(path: Path, texts: str) -> Iterator[Row]:
    text = _text_of(path).replace("\r\n", "\n").replace("\r", "\n")
    if texts == "whole":
        pieces = [text]
    elif texts == "lines":
        pieces = text.split("\n")
    else:
        pieces = re.split(r"\n[ \t]*\n", text)
    number = 0
    for piece in pieces:
        if piece.strip():
            number += 1
            yield f"text {number}", piece.strip("\n")


_READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".json": _json,
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
    ".txt": _text,
}
