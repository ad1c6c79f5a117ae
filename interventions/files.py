"""Files: written whole or not at all, linked, read-only; no symbolic links; a hash of contents."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock

from interventions.aside import whole_folder

_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that no reader ever sees half of it.

    It is written beside its place, synced, and then renamed.

    Args:
        path: where it goes; a file of that name is replaced.
        text: its content, written as UTF-8.

    Raises:
        OSError: there is no room or no permission; ``path`` is as it was before.

    Example:
        >>> import tempfile
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
    # in a folder of our own nobody can put a link in the file's place
    with whole_folder(path.parent) as aside:
        partial = aside / path.name
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)


@contextmanager
def second_names(folder: Path) -> Iterator[Path]:
    """Give a folder with second names for another's files, which stay while the block runs.

    Where there can be none, it is the folder itself, whose files may go meanwhile: on a file system
    that is full, read-only, or without such names.

    Raises:
        FileNotFoundError: a file is gone already, or the folder is.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_whole(folder / "note.txt", "written")
        >>> with second_names(folder) as names:
        ...     (folder / "note.txt").unlink()
        ...     (names / "note.txt").read_text()
        'written'
    """
    with ExitStack() as stack:
        yield _linked_aside(folder, stack) or folder


def _linked_aside(folder: Path, stack: ExitStack) -> Path | None:
    """Return a folder with second names, until the stack is closed; None if there can be none."""
    paths = list(folder.iterdir())
    try:
        names = stack.enter_context(whole_folder(folder.parent)) / folder.name
        names.mkdir()
    except OSError:
        return None
    return names if all(hard_link(path, names / path.name) for path in paths) else None


def is_plain_file(path: Path) -> bool:
    """Return whether a path is a file itself: no link to one, no folder, no pipe or device.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_whole(folder / "note.txt", "written")
        >>> (folder / "link").symlink_to("note.txt")
        >>> [is_plain_file(folder / name) for name in ("note.txt", "link", "missing")]
        [True, False, False]
    """
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def read_plain(path: Path, most_bytes: int) -> bytes:
    """Return the content of a file that somebody else may have put there.

    Raises:
        OSError: it cannot be read, is a link, a folder, a pipe or a device, or is too large.
    """
    # without O_NONBLOCK, opening a pipe would wait for its writer
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path.name} is no plain file")
        if status.st_size > most_bytes:
            raise OSError(f"{path.name} has more than {most_bytes} bytes")
        return file.read(most_bytes)


def set_read_only(folder: Path, read_only: bool = True) -> None:
    """Take the right to write to the files in a folder from everybody, or give it to their owner.

    The folder itself stays as it is, so that its files can be removed.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_whole(folder / "note.txt", "written")
        >>> set_read_only(folder)
        >>> oct((folder / "note.txt").stat().st_mode & 0o222)
        '0o0'
    """
    for path in folder.iterdir():
        mode = stat.S_IMODE(path.lstat().st_mode)
        if is_plain_file(path):
            path.chmod(mode & ~_WRITE if read_only else mode | stat.S_IWUSR)


def link_or_copy(source: Path, folder: Path) -> None:
    """Give the files of a folder second names in another; copy those that cannot have one.

    A hard link needs no room, and what becomes of one name is nothing to the other. On another
    file system, or on one without links, the file is copied.

    Args:
        source: a folder of plain files.
        folder: the other, which is made; files of equal names in it are replaced.

    Raises:
        OSError: there is no room or no permission; FileNotFoundError if a file is gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        target = folder / path.name
        target.unlink(missing_ok=True)
        if not hard_link(path, target):
            shutil.copy2(path, target, follow_symlinks=False)


def hard_link(path: Path, target: Path) -> bool:
    """Give a file a second name; return whether that is possible.

    It is not on another file system, on one without links, or with too many of them.

    Raises:
        FileNotFoundError: the file is gone, or the folder of its second name is.
    """
    try:
        os.link(path, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def file_lock(path: Path) -> FileLock:
    """Return a lock that the operating system releases when its process dies.

    A link in the lock's place is removed first: what it points at is somebody's file.

    Args:
        path: the lock's file, in an existing folder; it is left behind.
    """
    if path.is_symlink():
        path.unlink(missing_ok=True)
    return FileLock(path)


def file_digest(paths: Iterable[Path]) -> str:
    """Return a hash of the names and contents of files, whatever their order.

    Example:
        >>> import tempfile
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
