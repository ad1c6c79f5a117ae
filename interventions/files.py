"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that no reader ever sees half of it: beside its place, synced, then renamed.

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
    """Give a place to write a file to; when the block ends without an error it is renamed to ``path``.

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
    """Give an empty folder in ``parent`` to fill and rename; what is left of it when the block ends is removed.

    A folder inside it is on the same file system as ``parent``, so that its rename is one step.

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
