"""Folders for a while: filled aside, renamed or thrown away, and cleared after a process's death.

Each is locked by its process as long as it is used, and the operating system takes the lock away
when the process dies. So a folder without a lock is what a killed process left, and is cleared by
the next that comes by, while those of living processes stay.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_WRITING = ".writing-"  # begins the name of what is being written
_REMOVING = ".removing-"  # of what is being removed
_SCRATCH = "composability-scratch-"  # of what is in the system's temporary folder
# by versions before 0.2, which locked nothing: by now nobody writes there any more
_OF_BEFORE, _OF_BEFORE_SECONDS = "composability-changed-", 3600.0
MANY = 2**31  # names that a file may have


@contextmanager
def whole_folder(parent: Path) -> Iterator[Path]:
    """Give an empty folder in ``parent``, to fill it and rename what is complete.

    What is left of it when the block ends is removed. A folder inside it is on the same file
    system as ``parent``, so that its rename is one step.

    Raises:
        OSError: there is no room or no permission.

    Example:
        >>> parent = Path(tempfile.mkdtemp())
        >>> with whole_folder(parent) as aside:
        ...     (aside / "model").mkdir()
        ...     _ = (aside / "model").rename(parent / "model")
        >>> [path.name for path in parent.iterdir()]
        ['model']
    """
    parent.mkdir(parents=True, exist_ok=True)
    with _locked_folder(parent, _WRITING) as aside:
        yield aside


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give an empty folder in the system's temporary one, and remove it when the block ends.

    Raises:
        OSError: there is no room or no permission.

    Example:
        >>> with scratch_folder() as folder:
        ...     _ = (folder / "note.txt").write_text("draft")
        >>> folder.exists()
        False
    """
    with _locked_folder(Path(tempfile.gettempdir()), _SCRATCH) as folder:
        yield folder


def is_aside(name: str) -> bool:
    """Return whether a name is that of a folder which is being written or removed.

    Example:
        >>> is_aside(".writing-k3x"), is_aside("scores")
        (True, False)
    """
    return name.startswith((_WRITING, _REMOVING))


def clear_leftovers(parent: Path) -> None:
    """Remove what killed processes left in a folder where they wrote or removed something.

    What a living process has locked stays, as does what cannot be removed.

    Args:
        parent: the folder; it may be missing.
    """
    for name in names_in(parent):
        if is_aside(name):
            _remove_unlocked(parent / name)


def clear_scratch() -> None:
    """Remove what killed processes of this user left in the system's temporary folder."""
    folder = Path(tempfile.gettempdir())
    for name in names_in(folder):
        if name.startswith(_SCRATCH):
            _remove_unlocked(folder / name)
        elif name.startswith(_OF_BEFORE):
            _remove_unlocked(folder / name, _OF_BEFORE_SECONDS)


def remove(path: Path) -> None:
    """Remove a file, a link (never what it points at) or a folder; what cannot be removed stays.

    A folder is renamed first: a process that is killed meanwhile leaves no half of it in its place.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "model").mkdir()
        >>> remove(folder / "model")
        >>> list(folder.iterdir())
        []
    """
    try:
        path.unlink(missing_ok=True)
        return
    except OSError:
        pass
    condemned = path.with_name(f"{_REMOVING}{secrets.token_hex(8)}")
    try:
        path.rename(condemned)
    except OSError:
        condemned = path
    shutil.rmtree(condemned, ignore_errors=True)


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder; none if it cannot be read. Of thousands in a millisecond.

    Example:
        >>> names_in(Path("/nowhere"))
        []
    """
    try:
        return os.listdir(folder)
    except OSError:
        return []


def size_of(folder: Path, most_names: int = MANY) -> int:
    """Return the bytes of the files in a folder and below.

    Args:
        folder: may go meanwhile; of a link nothing counts.
        most_names: files with more names than that, by hard links, do not count.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a").write_text("12345")
        >>> _ = (folder / "b").write_text("1")
        >>> os.link(folder / "a", folder / "c")
        >>> size_of(folder, most_names=1)
        1
    """
    total = 0
    for place, _, names in () if folder.is_symlink() else os.walk(folder):
        for name in names:
            with suppress(OSError):
                status = os.lstat(os.path.join(place, name))
                if status.st_nlink <= most_names and stat.S_ISREG(status.st_mode):
                    total += status.st_size
    return total


@contextmanager
def _locked_folder(parent: Path, prefix: str) -> Iterator[Path]:
    folder, descriptor = _make_locked(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _make_locked(parent: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            if _lock(descriptor, folder) is not False:
                return folder, descriptor
            os.close(descriptor)
        # another process took it for a leftover in the moment before it was locked


def _lock(descriptor: int, folder: Path) -> bool | None:
    """Lock an open folder; None where the file system has no locks, False if it is another's."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    try:
        return os.path.samestat(os.fstat(descriptor), folder.lstat())
    except OSError:
        return False


def _remove_unlocked(folder: Path, seconds: float = 0.0) -> None:
    """Remove a folder of this user that no process has locked, nor changed for some seconds."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        status = os.fstat(descriptor)
        is_old = not seconds or time.time() - status.st_mtime > seconds
        if status.st_uid == os.getuid() and is_old and _lock(descriptor, folder):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
