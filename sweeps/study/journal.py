"""The journal: the file beside the checkpoints in which a study is kept unless told otherwise."""

from __future__ import annotations

import os
import re
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from interventions.composition import digest
from interventions.errors import InvalidInput, shown
from interventions.files import file_lock
from tracking import store


def journal_path(folder: Path, experiment: str, name: str) -> Path:
    """Return where a study's journal is: one file per study, experiment and MLflow store.

    Args:
        folder: of the checkpoints.
        experiment: in MLflow.
        name: of the study.
    """
    readable = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    identity = digest(store.uri(), experiment, name)[:8]
    return folder / "studies" / f"{readable}-{identity}.log"


def open_journal(path: Path) -> JournalStorage:
    """Open a journal, made if it is missing.

    Raises:
        InvalidInput: another user's link is in its place: to write there would write to whatever
            file of ours it points at. Or nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_writable = os.access(path if path.exists() else path.parent, os.W_OK)
    except OSError:
        is_writable = False
    if not is_writable:
        raise InvalidInput(
            f"the study's journal {shown(str(path))} cannot be written: name another cache with"
            " COMPOSABILITY_CACHE, or another storage"
        )
    if path.is_symlink() and path.lstat().st_uid not in (os.getuid(), 0):
        raise InvalidInput(
            f"the study's journal {shown(str(path))} is a link that another user has put there:"
            " remove it, or name another cache with COMPOSABILITY_CACHE"
        )
    return JournalStorage(JournalFileBackend(str(path), _KernelLock(path)))


class _KernelLock(JournalFileOpenLock):
    """A lock that the operating system releases when its process dies.

    Optuna's own locks are files: they outlive a process that is killed with -9, and hold all
    processes up for half a minute. A line that such a process, or a full disk, left half-written is
    cut off, since nothing after it could be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = file_lock(path.with_name(f"{path.name}.lock"))

    def acquire(self) -> bool:
        self._lock.acquire()
        _cut_half_line(self._path)
        return True

    def release(self) -> None:
        self._lock.release()


def _cut_half_line(path: Path) -> None:
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        if not end:
            return
        file.seek(end - 1)
        if file.read() == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
