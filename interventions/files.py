"""Files that are written whole or not at all, and a hash of their contents."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that no reader ever sees half of it.

    It is written beside its place, synced, and then renamed.

    Args:
        path: where it goes; a file of that name is replaced.
        text: its content, written as UTF-8.

    Raises:
        OSError: there is no room or no permission; ``path`` is as it was before.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_whole(folder / "note.txt", "written")
        >>> [path.name for path in folder.iterdir()]
        ['note.txt']
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a place to write a file to, which becomes ``path`` when the block ends without an error.

    Raises:
        OSError: there is no room or no permission; ``path`` is as it was before.
    """
    partial = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(parent: Path) -> Iterator[Path]:
    """Give an empty folder in ``parent``, to fill it and rename what is complete.

    What is left of it when the block ends is removed. A folder inside it is on the same file
    system as ``parent``, so that its rename is one step.

    Example:
        >>> parent = Path(tempfile.mkdtemp())
        >>> with whole_folder(parent) as aside:
        ...     (aside / "model").mkdir()
        ...     _ = (aside / "model").rename(parent / "model")
        >>> [path.name for path in parent.iterdir()]
        ['model']
    """
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".writing-") as aside:
        yield Path(aside)


def file_digest(paths: Iterable[Path]) -> str:
    """Return a hash of the names and contents of files, whatever their order.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_whole(folder / "note.txt", "written")
        >>> file_digest([folder / "note.txt"])
        '33dbe997194aa8b454b04b8436da93e7'
    """
    hashed = hashlib.sha256()
    for path in sorted(paths):
        hashed.update(path.name.encode())
        with path.open("rb") as file:
            hashed.update(hashlib.file_digest(file, "sha256").digest())
    return hashed.hexdigest()[:32]
