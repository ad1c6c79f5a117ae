"""Where studies are kept: a journal beside the checkpoints, or PostgreSQL; never MLflow's store.

A storage's password comes from the environment: a parameter would be recorded, and be shown to
whoever lists the machine's processes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import optuna
import tenacity
from optuna.storages import BaseStorage, RDBStorage, get_storage
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from interventions.errors import InvalidInput, shown
from sweeps.study.attributes import ABOUT
from sweeps.study.journal import journal_path, open_journal
from sweeps.study.options import ENVIRONMENT, JOURNAL, STORAGE_VARIABLE
from sweeps.study.patient_storage import patient
from tracking import store
from tracking.address import scheme_of
from tracking.passwords import check_no_passwords
from tracking.versions import VERSIONED, check_same_version

_RACE_WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds
_CONNECT = {"connect_timeout": 10}  # seconds


def check_storage(address: str) -> str:
    """Return a storage as it was given if studies may be kept there.

    Args:
        address: "journal"; the URL of a PostgreSQL database, without a password; or "environment",
            for the URL that COMPOSABILITY_STUDY_STORAGE has.

    Raises:
        InvalidInput: it is none of them, has a password, or is MLflow's own database.

    Example:
        >>> check_storage("journal")
        'journal'
    """
    check_no_passwords({"storage": address})
    if address == JOURNAL:
        return address
    name, url = "storage", address
    if address == ENVIRONMENT:
        name, url = STORAGE_VARIABLE, os.environ.get(STORAGE_VARIABLE, "")
    kind = scheme_of(url)
    if kind == "sqlite":
        raise InvalidInput(
            f"{name} {shown(url)}: SQLite runs points twice when several processes ask; use"
            f" {JOURNAL}"
        )
    if kind != "postgresql":
        raise InvalidInput(
            f"{name} must be {JOURNAL}, {ENVIRONMENT} or postgresql://…, but got {shown(url)}"
            if name == "storage"
            else f"storage={ENVIRONMENT} needs {name} to be postgresql://…, but it is {shown(url)}"
        )
    if url == store.uri():
        raise InvalidInput(
            f"{name} is MLflow's own database: the two have tables of the same names; give another"
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
    return patient(_open_database(_database_url(address)))


def _database_url(address: str) -> str:
    """Return a storage's URL, password and all."""
    return os.environ.get(STORAGE_VARIABLE, "") if address == ENVIRONMENT else address


def _open_database(address: str) -> BaseStorage:
    """Open a database, and make Optuna's tables in it.

    Where several processes make the tables at once, all but one fail, and find them the next time.
    """
    retrying = tenacity.Retrying(
        wait=tenacity.wait_chain(*map(tenacity.wait_fixed, _RACE_WAITS)),
        stop=tenacity.stop_after_attempt(len(_RACE_WAITS) + 1),
        retry=tenacity.retry_if_exception_type((IntegrityError, ProgrammingError)),
        reraise=True,
    )
    try:
        # with the cache that Optuna puts before a database by itself
        return get_storage(
            retrying(lambda: RDBStorage(address, engine_kwargs={"connect_args": _CONNECT}))
        )
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise InvalidInput(
            f"the storage {store.shown_address(address)[:150]} cannot be reached: {error}"
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
    _check_version(name, recorded, about)
    for key in {**about, **recorded}:
        if recorded.get(key) != about.get(key):
            raise InvalidInput(
                f"study {name!r} is of {key}={recorded.get(key)}, and this is"
                f" {key}={about.get(key)}: give another name"
            )


def _check_version(name: str, recorded: Mapping[str, str], about: Mapping[str, str]) -> None:
    """Check that a recorded study is on the testbed's version of now, if it is on the testbed."""
    for setting in VERSIONED:
        # the model's name, and its weights in parentheses
        before, now = (words.get(setting, "").partition(" (")[0] for words in (recorded, about))
        check_same_version(f"study {name!r}", setting, before, now)
