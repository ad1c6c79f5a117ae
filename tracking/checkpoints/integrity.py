"""Tell whether files are as they were written, and whether a disk is full."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

MANIFEST = "manifest.json"  # of a checkpoint: its key, the checksum of every file, its cost


def damaged_files(folder: Path) -> list[str]:
    """Return the files of a checkpoint that are not as its manifest says.

    Returns:
        Their names; if the manifest cannot be read or a file is missing, the error's text.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return [
            name
            for name, checksum in manifest["sha256"].items()
            if sha256(folder / name) != checksum
        ]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        return [str(error)]


def sha256(path: Path) -> str:
    """Return a file's checksum, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def disk_is_full(error: BaseException) -> bool:
    """Return whether an error says that the disk, or the user's quota of it, is full."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    # safetensors raises an error of its own, with the system's text in it
    return full or "No space left on device" in str(error) or "Disk quota exceeded" in str(error)
