"""Tell whether files are as they were written, and whether a disk is full."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interventions import small_json
from interventions.errors import InvalidInput, printable_line, shown
from interventions.files import is_plain_file

MANIFEST = "manifest.json"  # of a checkpoint: its key, the checksum of every file, its cost
_MOST_NAME_BYTES = 255  # of a file's name, on most file systems
_MOST_REASON = 120  # characters
_CHECKSUM = re.compile("[0-9a-f]{64}")
# of every file its name, inode, size, and when its content was changed
Stamps = list[tuple[str, int, int, int]]


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint's folder says of itself.

    Attributes:
        key: the checkpoint's.
        checksums: by name, the checksum of every file but the manifest.
    """

    key: str
    checksums: dict[str, str]


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a checkpoint, its types and names checked.

    Raises:
        InvalidInput: it cannot be read, or is not as it was written.
    """
    record = read_object(folder / MANIFEST)
    key, checksums = record.get("key"), record.get("sha256")
    if not isinstance(key, str) or not isinstance(checksums, dict):
        raise InvalidInput(f"{MANIFEST} has no key or no 'sha256'")
    for name, checksum in checksums.items():
        check_entry(name, checksum)
    return Manifest(key, checksums)


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file that somebody else may have written.

    Raises:
        InvalidInput: it is missing, a link, too large, or holds something else.
    """
    if path.is_symlink():
        raise InvalidInput(f"{path.name} is a link")
    return small_json.read_json_object(path)


def check_entry(name: object, checksum: object) -> None:
    """Check that a recorded name is one of a file in a folder, and its checksum a checksum.

    Raises:
        InvalidInput: the name would lead out of the folder, is the manifest's, or cannot be one.
    """
    plain = (
        isinstance(name, str)
        and name.isprintable()
        and name not in ("", ".", "..", MANIFEST)
        and not {"/", "\\"} & set(name)
        and len(name.encode()) <= _MOST_NAME_BYTES
    )
    if not plain:
        raise InvalidInput(f"{shown(name, 60)} is not the name of a file in the folder")
    if not isinstance(checksum, str) or not _CHECKSUM.fullmatch(checksum):
        raise InvalidInput(f"{shown(name, 60)} has no checksum")


def damaged_files(folder: Path, key: str | None = None) -> list[str]:
    """Return the files of a checkpoint that are not as its manifest says.

    A file that is not in the manifest is damage too: ``from_pretrained`` may run or load it.

    Args:
        folder: the checkpoint's.
        key: which the manifest must be of; None allows any.

    Returns:
        Their names; if the manifest cannot be read or a file is missing, the error's text.
    """
    try:
        if folder.is_symlink():
            return [f"{folder.name} is a link"]
        manifest = read_manifest(folder)
        if key is not None and manifest.key != key:
            return [f"its manifest is that of {shown(manifest.key, 60)}"]
        expected = {MANIFEST, *manifest.checksums}
        foreign = [path.name for path in sorted(folder.iterdir()) if path.name not in expected]
        if foreign:
            return [f"{shown(name, 60)} does not belong to it" for name in foreign]
        return [
            name
            for name, checksum in manifest.checksums.items()
            if sha256(folder / name) != checksum
        ]
    except (OSError, InvalidInput) as error:
        return [str(error)]


def in_words(damaged: list[str]) -> str:
    """Return what ``damaged_files`` found, in one line that is not long."""
    return printable_line(", ".join(damaged), _MOST_REASON)


def content_checksum(folder: Path) -> str:
    """Return one checksum of all files of a checkpoint, from its manifest's: names and contents.

    Raises:
        InvalidInput: the manifest is missing or damaged.
    """
    return checksum_of_checksums(read_manifest(folder).checksums)


def checksum_of_checksums(checksums: Mapping[str, str]) -> str:
    """Return one checksum of files, from the checksum of each, whatever their order.

    Example:
        >>> checksum_of_checksums({"a": "1", "b": "2"}) == checksum_of_checksums(
        ...     {"b": "2", "a": "1"}
        ... )
        True
    """
    return hashlib.sha256(json.dumps(sorted(checksums.items())).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Return a file's checksum, as 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read, or is no file: a link, a folder, a pipe or a device.
    """
    if path.exists() and not is_plain_file(path):
        raise OSError(f"{path.name} is no plain file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamps_of(folder: Path) -> Stamps:
    """Return what is another once a file of a folder was written to; nothing if it is not there.

    A second name for a file, or the end of one, changes nothing of it.
    """
    try:
        statuses = {path.name: path.lstat() for path in sorted(folder.iterdir())}
    except OSError:
        return []
    return [
        (name, status.st_ino, status.st_size, status.st_mtime_ns)
        for name, status in statuses.items()
    ]


def cannot_write(error: BaseException) -> bool:
    """Return whether an error says that a file could not be written, whatever the reason."""
    # safetensors raises an error of its own, with the system's text in it
    return isinstance(error, OSError) or (
        type(error).__name__ == "SafetensorError" and "I/O error" in str(error)
    )


def disk_is_full(error: BaseException) -> bool:
    """Return whether an error says that the disk, or the user's quota of it, is full."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    # safetensors raises an error of its own, with the system's text in it
    return full or "No space left on device" in str(error) or "Disk quota exceeded" in str(error)
