"""Where studies are kept: a journal beside the checkpoints, or PostgreSQL; never MLflow's store."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import optuna
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from interventions.errors import InvalidInput
from sweeps.study.attributes import ABOUT
from sweeps.study.journal import journal_path, open_journal
from sweeps.study.options import JOURNAL
from tracking import store

_RACE_WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds


def check_storage(address: str) -> str:
    """Return the address of a storage if studies may be kept there.

    Args:
        address: "journal", or the URL of a PostgreSQL database.

    Raises:
        InvalidInput: it is neither, or it is MLflow's own database.

    Example:
        >>> check_storage("journal")
        'journal'
    """
    if address == JOURNAL:
        return address
    kind = urlparse(address).scheme.partition("+")[0]
    shown = store.shown_address(address)
    if kind == "sqlite":
        raise InvalidInput(
            f"storage {shown!r}: SQLite runs points twice when several processes ask; use {JOURNAL}"
        )
    if kind != "postgresql":
        raise InvalidInput(f"storage must be {JOURNAL} or postgresql://…, but got {shown!r}")
    if address == store.uri():
        raise InvalidInput(
            "storage is MLflow's own database: the two have tables of the same names; give another"
        )
    return address


def open_storage(address: str, folder: Path, experiment: str, name: str) -> BaseStorage:
    """Open the storage of a study.

    Args:
        address: as ``check_storage`` returns it.
        folder: of the checkpoints, in which journals are.
        experiment: in MLflow.
        name: of the study.

    Raises:
        InvalidInput: the database cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if address == JOURNAL:
        return open_journal(journal_path(folder, experiment, name))
    return _open_database(address)


def _open_database(address: str) -> BaseStorage:
    """Open a database, and make Optuna's tables in it.

    Where several processes make the tables at once, all but one fail, and find them the next time.
    """
    error: Exception | None = None
    for wait in (*_RACE_WAITS, 0.0):
        try:
            return RDBStorage(address)
        except (IntegrityError, ProgrammingError) as raced:
            error = raced
            time.sleep(wait)
        except (SQLAlchemyError, ImportError) as unreachable:
            error = unreachable
            break
    reason = " ".join(str(error).split())[:200]
    raise InvalidInput(
        f"the storage {store.shown_address(address)} cannot be reached: {reason}"
    ) from error


def check_recorded_study(
    address: str, folder: Path, experiment: str, name: str, about: Mapping[str, str]
) -> None:
    """Check, without making one, that a study of that name is about the same, if there is one.

    Args:
        address: as ``check_storage`` returns it.
        folder: of the checkpoints, in which journals are.
        experiment: in MLflow.
        name: of the study.
        about: what the study tunes and how, by word.

    Raises:
        InvalidInput: it is about something else; says what differs.
    """
    if address != JOURNAL or journal_path(folder, experiment, name).exists():
        check_same_study(open_storage(address, folder, experiment, name), name, about)


def check_same_study(storage: BaseStorage, name: str, about: Mapping[str, str]) -> None:
    """Check that the storage's study of that name is about the same, if it has one.

    Raises:
        InvalidInput: it is about something else; says what differs.
    """
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        return
    text = storage.get_study_user_attrs(study_id).get(ABOUT)
    if text is None:
        # a study without trials is one that another process is making at this moment
        if storage.get_n_trials(study_id):
            raise InvalidInput(f"study {name!r} was not made by this command: give another name")
        return
    recorded = json.loads(text)
    for key in {**about, **recorded}:
        if recorded.get(key) != about.get(key):
            raise InvalidInput(
                f"study {name!r} is of {key}={recorded.get(key)}, and this is"
                f" {key}={about.get(key)}: give another name"
            )
