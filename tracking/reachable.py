"""Check that the store answers before anything is loaded or made, without minutes of waiting.

MLflow's own client tries a server again for minutes, makes tables in whatever database it is
pointed at, and says what is wrong in a traceback.
"""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from interventions.errors import InvalidInput
from tracking.address import is_server, local_uri, scheme_of, shown_address, sqlite_file, uri

_DATABASES = ("postgresql", "mysql", "mssql")
_OPENING_SECONDS = 5  # that a connection may take
_ANSWER_SECONDS = 10.0  # that an answer may take in all, names and redirections included
_TRUSTED_SECONDS = 30.0  # that a store which has answered is not asked again
_SEARCH = "/api/2.0/mlflow/experiments/search"
_LOGIN_STATUS = (401, 403)  # of HTTP: who asks is to log in, or may not
_DAMAGE = ("database disk image is malformed", "file is not a database")  # SQLite's words

_answered_at: dict[str, float] = {}  # address -> when it answered


class StoreUnreachable(InvalidInput):
    """The store is away, or is none; nothing can be written there, not even why."""


class OldSchema(StoreUnreachable):
    """The store's tables are of an older MLflow, which can be upgraded."""


def check_reachable(writing: bool = True) -> None:
    """Check that the store answers and is one of this MLflow's.

    A SQLite file is looked at, which takes milliseconds; a database or a server is asked once.

    Args:
        writing: whether runs are to be logged; if not, the store must exist already.

    Raises:
        StoreUnreachable: it does not; the reason in one line, without the password.
    """
    address = uri()
    _check_scheme(address)
    database = sqlite_file(address)
    if database is not None:
        _check_file(database, writing)
    elif is_server(address) or scheme_of(address) in _DATABASES:
        if time.monotonic() - _answered_at.get(address, -_TRUSTED_SECONDS) < _TRUSTED_SECONDS:
            return
        ask = _ask_server if is_server(address) else _ask_database
        _within_seconds(lambda: ask(address))
        _answered_at[address] = time.monotonic()


def _unreachable(reason: object, verb: str = "used") -> StoreUnreachable:
    text = " ".join(str(reason).split())
    return StoreUnreachable(f"the store {_short_address()} cannot be {verb}: {text}")


def _short_address() -> str:
    address = shown_address()
    return address if len(address) <= 150 else f"{address[:149]}…"


def _check_scheme(address: str) -> None:
    """Check that MLflow has a kind of store for an address."""
    from mlflow.environment_variables import MLFLOW_ALLOW_FILE_STORE
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry

    if address == "databricks":  # MLflow's word for a profile of that product
        return
    scheme = scheme_of(address)
    if scheme == "postgres":
        raise _unreachable("write postgresql:// instead of postgres://")
    known = [name for name in _tracking_store_registry._registry if name not in ("", "file")]
    if scheme in ("", "file"):
        if not MLFLOW_ALLOW_FILE_STORE.get():
            raise _unreachable(
                "MLflow no longer keeps runs in a folder: set MLFLOW_TRACKING_URI to"
                " sqlite:///file.db, a database or a server"
            )
    elif scheme not in known:
        raise _unreachable(f"there is no store {scheme}://, only {', '.join(known)}")
    elif scheme == "sqlite" and sqlite_file(address) is None and "file:" not in address:
        raise _unreachable("it needs a file, as in sqlite:///file.db")


def _check_file(database: Path, writing: bool) -> None:
    try:
        if database.exists():
            _check_tables(database)
            if writing and not (os.access(database, os.W_OK) and _is_writable(database.parent)):
                raise _unreachable("the file is read-only")
        elif writing:
            _check_can_be_made(database)
        else:
            raise _unreachable("the file is missing: nothing was run with this store yet")
    except (OSError, ValueError, sqlite3.Error) as error:
        if isinstance(error, InvalidInput):
            raise
        if "locked" in str(error):  # another process is at it: the store is there
            return
        raise _unreachable(damage_of(error) or error) from error


def damage_of(error: BaseException) -> str:
    """Return what an error says of a damaged SQLite file, and how to go on; "" if it says nothing.

    Example:
        >>> damage_of(ValueError("database disk image is malformed"))
        'the file is damaged (database disk image is malformed): put a copy in its place, or move...
        >>> damage_of(ValueError("no such run"))
        ''
    """
    for damage in _DAMAGE:
        if damage in str(error):
            return (
                f"the file is damaged ({damage}): put a copy in its place, or move it away to"
                " start an empty store; `sqlite3 FILE .recover` reads what can be read"
            )
    return ""


def damaged_store(error: BaseException) -> StoreUnreachable | None:
    """Return the refusal of a store that turned out to be a damaged SQLite file; None if it is not.

    Args:
        error: whatever came from the store's library.
    """
    damage = damage_of(error) if sqlite_file(uri()) is not None else ""
    return _unreachable(damage) if damage else None


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _check_can_be_made(database: Path) -> None:
    """Check that a file and the folders above it can be made; makes none."""
    folder = database.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise _unreachable(f"{folder} is no folder")
    if not _is_writable(folder):
        raise _unreachable(f"nothing can be written into {folder}")


def _check_tables(database: Path) -> None:
    if not database.is_file():
        raise _unreachable("it is no file")
    # "ro" could not roll back what a process left half-written that was killed; "rw" makes no file
    mode = "rw" if os.access(database, os.W_OK) else "ro"
    # as_uri percent-encodes what SQLite would take for options
    address = f"{database.absolute().as_uri()}?mode={mode}"
    with closing(sqlite3.connect(address, uri=True, timeout=_OPENING_SECONDS)) as connection:
        tables = {name for (name,) in connection.execute("select name from sqlite_master")}
        versions: Sequence[Any] = ()
        if "alembic_version" in tables:
            versions = connection.execute("select version_num from alembic_version").fetchall()
    _check_schema(tables, [str(version) for (version,) in versions])


def _check_schema(tables: set[str], versions: Sequence[str]) -> None:
    """Check that a database has MLflow's tables of this version, or none yet."""
    if not tables:
        return
    if "experiments" not in tables or not versions:
        raise _unreachable("it is the database of another program, without MLflow's tables")
    newest = _schema_versions()[0]
    if versions[0] == newest:
        return
    if versions[0] not in _schema_versions():
        raise _unreachable(
            f"its tables are of another version of MLflow ({versions[0]}; this one's are {newest})"
        )
    upgrade = (
        "composability setup" if uri() == local_uri() else "mlflow db upgrade, with its address"
    )
    raise OldSchema(
        f"the store {_short_address()} cannot be used: its tables are of an older MLflow"
        f" ({versions[0]}; this one's are {newest}). Make a copy of it, then run {upgrade}"
    )


@functools.cache
def _schema_versions() -> list[str]:
    """Return the versions of MLflow's tables, the newest first."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    scripts = ScriptDirectory.from_config(_get_alembic_config(db_url=""))
    return [script.revision for script in scripts.walk_revisions()]


def _ask_database(address: str) -> None:
    import sqlalchemy

    timeout = "timeout" if scheme_of(address) == "mssql" else "connect_timeout"
    engine = sqlalchemy.create_engine(
        address, connect_args={timeout: _OPENING_SECONDS}, poolclass=sqlalchemy.pool.NullPool
    )
    with engine.connect() as connection:
        tables = set(sqlalchemy.inspect(connection).get_table_names())
        versions: Sequence[Any] = ()
        if "alembic_version" in tables:
            query = sqlalchemy.text("select version_num from alembic_version")
            versions = connection.execute(query).scalars().all()
    # a database may have other programs' tables too, but not under MLflow's names
    if "alembic_version" in tables:
        _check_schema(tables, [str(version) for version in versions])


def _ask_server(address: str) -> None:
    """Ask an MLflow server for an experiment, logged in as MLflow's client is."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    answer = http_request(
        get_default_host_creds(address),
        _SEARCH,
        "POST",
        max_retries=0,
        timeout=_OPENING_SECONDS,
        raise_on_status=False,
        json={"max_results": 1},
    )
    if answer.status_code in _LOGIN_STATUS:
        raise _unreachable(
            f"it refuses the login (status {answer.status_code}): set MLFLOW_TRACKING_USERNAME"
            " and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if answer.status_code != 200:
        raise _unreachable(f"it answers with status {answer.status_code}")
    try:
        is_mlflow = isinstance(json.loads(answer.text), dict)
    except ValueError:
        is_mlflow = False
    if not is_mlflow:
        raise _unreachable("it is no MLflow server: its answer is no JSON")


def _within_seconds(ask: Callable[[], None]) -> None:
    """Ask in a thread of its own: looking up a name, or a server that drips, may take minutes."""
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            ask()
        except BaseException as error:  # whatever a driver raises is the answer
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(_ANSWER_SECONDS)
    if thread.is_alive():
        raise _unreachable(f"no answer within {_ANSWER_SECONDS:g} seconds", "reached")
    for error in errors:
        if isinstance(error, InvalidInput):
            raise error
        raise _unreachable(_reason(error), "reached") from error


def _reason(error: BaseException) -> str:
    from requests import RequestException

    if isinstance(error, ImportError):
        extra = "; pip install 'composable-interventions[postgres]'"
        return f"its driver is missing: {error}" + (extra if "psycopg" in str(error) else "")
    # MLflow's message repeats the address around what went wrong
    cause = error.__context__ if isinstance(error.__context__, RequestException) else error
    text = " ".join(str(cause).split()) or type(cause).__name__
    return text.partition(" (Background on this error")[0]  # a link of SQLAlchemy's
