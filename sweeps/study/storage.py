"""Where studies are kept: a journal file beside the checkpoints, or PostgreSQL; never MLflow's own database."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from interventions.composition import digest
from interventions.errors import InvalidInput
from sweeps.study import trial_queue
from tracking import store

JOURNAL = "journal"
_WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds


def check(text: str) -> str:
    """What may be a storage: "journal", or the URL of a PostgreSQL database; raises InvalidInput."""
    if text == JOURNAL:
        return text
    kind = urlparse(text).scheme.partition("+")[0]
    if kind == "sqlite":
        raise InvalidInput(
            f"storage {text!r}: SQLite runs points twice when several processes ask; use {JOURNAL}"
        )
    if kind != "postgresql":
        raise InvalidInput(f"storage must be {JOURNAL} or postgresql://…, but got {text!r}")
    if text == store.uri():
        raise InvalidInput(
            "storage is MLflow's own database: the two have tables of the same names; give another"
        )
    return text


def open_storage(where: str, folder: Path, experiment: str, name: str) -> BaseStorage:
    """The storage of a study.

    Args:
        where: checked.
        folder: of checkpoints; the journals' is in it.
        experiment: in MLflow.
        name: the study's.

    Raises:
        InvalidInput: the database cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if where == JOURNAL:
        path = journal(folder, experiment, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path), _Lock(path)))
    return _database(where)


def _database(where: str) -> BaseStorage:
    """A database; where several processes make its tables at once, all but one fail, and find them the next time."""
    error: Exception | None = None
    for wait in (*_WAITS, 0.0):
        try:
            return RDBStorage(where)
        except (IntegrityError, ProgrammingError) as raced:
            error = raced
            time.sleep(wait)
        except (SQLAlchemyError, ImportError) as away:
            error = away
            break
    reason = " ".join(str(error).split())[:200]
    shown = re.sub(r"://([^:/@]+):[^@]*@", r"://\1:***@", where)
    raise InvalidInput(f"the storage {shown} cannot be reached: {reason}") from error


def look(where: str, folder: Path, experiment: str, name: str, about: Mapping[str, str]) -> None:
    """Raise InvalidInput if there is a study of that name about something else; makes none."""
    if where != JOURNAL or journal(folder, experiment, name).exists():
        trial_queue.check(open_storage(where, folder, experiment, name), name, about)


def journal(folder: Path, experiment: str, name: str) -> Path:
    """A study's file: one for each experiment of each store."""
    return (
        folder
        / "studies"
        / f"{re.sub(r'[^A-Za-z0-9._-]', '-', name)}-{digest(store.uri(), experiment, name)[:8]}.log"
    )


class _Lock(JournalFileOpenLock):
    """Journal's own locks outlive a process that is killed with -9, and hold the others up for half a minute.

    A line that such a process, or a full disk, left half-written is cut off: nothing after it could be read.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, FileLock(f"{path}.lock")

    def acquire(self) -> bool:
        self._lock.acquire()
        _cut(self._path)
        return True

    def release(self) -> None:
        self._lock.release()


def _cut(path: Path) -> None:
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        if not end:
            return
        file.seek(end - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
