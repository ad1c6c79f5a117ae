"""Where studies may be kept, and what is refused."""

import time
from pathlib import Path

import optuna
import pytest
from sqlalchemy.exc import IntegrityError, ProgrammingError

from interventions.errors import InvalidInput
from sweeps.study import storage
from sweeps.study.journal import journal_path
from sweeps.study.options import ENVIRONMENT, JOURNAL, STORAGE_VARIABLE
from sweeps.study.request import read_study_request
from sweeps.study.storage import (
    check_recorded_study,
    check_same_study,
    check_storage,
    open_storage,
)
from tests.sweeps.study.queues import ABOUT, open_queue


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "sqlite:///studies.db",
            "SQLite runs points twice when several processes ask; use journal",
        ),
        (
            "mysql://host/db",
            "storage must be journal, environment or postgresql://…, but got 'mysql://host/db'",
        ),
        ("jurnal", "storage must be journal"),
    ],
)
def test_a_storage_that_would_not_do_is_refused(address: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_storage(address)


def test_mlflows_own_database_is_no_storage_and_one_that_does_not_answer_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = "postgresql://me@127.0.0.1:9/runs"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InvalidInput, match="storage is MLflow's own database"):
        check_storage(uri)
    monkeypatch.setenv(STORAGE_VARIABLE, uri)
    with pytest.raises(InvalidInput, match=f"{STORAGE_VARIABLE} is MLflow's own database"):
        check_storage(ENVIRONMENT)
    monkeypatch.setenv(STORAGE_VARIABLE, "postgresql://me:secret@127.0.0.1:9/other")
    message = r"the storage postgresql://me:\*\*\*@127.0.0.1:9/other cannot be reached"
    with pytest.raises(InvalidInput, match=message):
        open_storage(check_storage(ENVIRONMENT), tmp_path, "any", "mine")


@pytest.mark.parametrize("address", ["mysql://me:secret@host/db", "postgresql://me:secret@host/db"])
def test_a_password_is_refused_and_the_variable_for_it_named(address: str) -> None:
    with pytest.raises(
        InvalidInput, match=f"set {STORAGE_VARIABLE} .* storage=environment"
    ) as error:
        check_storage(address)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("address", ["", "mysql://me:secret@host/db", "studies"])
def test_the_environments_storage_must_be_postgresql(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORAGE_VARIABLE, address)
    with pytest.raises(InvalidInput, match=f"needs {STORAGE_VARIABLE} to be postgresql") as error:
        check_storage(ENVIRONMENT)
    assert "secret" not in str(error.value)


def test_a_password_of_the_environment_reaches_the_database_and_no_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    addresses = []
    monkeypatch.setenv(STORAGE_VARIABLE, "postgresql://me:secret@host/studies")
    monkeypatch.setattr(storage, "RDBStorage", lambda address, **_: addresses.append(address))
    request = read_study_request("rmu", storage=ENVIRONMENT)
    assert "secret" not in repr(request)
    open_storage(request.storage, tmp_path, "any", "mine")
    assert addresses == ["postgresql://me:secret@host/studies"]


def test_a_recorded_study_is_checked_without_making_one(studies: Path) -> None:
    open_queue(studies)
    changed = ABOUT | {"objective": "y:max"}
    with pytest.raises(InvalidInput, match="study 'mine' is of objective=y:min"):
        check_recorded_study(JOURNAL, studies, "composability", "mine", changed)
    check_recorded_study(JOURNAL, studies, "composability", "mine", ABOUT)
    check_recorded_study(JOURNAL, studies, "composability", "another", changed)
    assert not journal_path(studies, "composability", "another").exists()
    with pytest.raises(InvalidInput, match="cannot be reached"):
        address = "postgresql://me@127.0.0.1:9/other"
        check_recorded_study(address, studies, "composability", "another", ABOUT)


def test_a_study_that_has_a_property_more_or_less_is_another(studies: Path) -> None:
    longer = ABOUT | {"prune_every": "20"}
    open_queue(studies, about=longer)
    with pytest.raises(InvalidInput, match="is of prune_every=20, and this is prune_every=None"):
        open_queue(studies)
    with pytest.raises(InvalidInput, match="is of seed=None, and this is seed=1"):
        open_queue(studies, about=longer | {"seed": "1"})


def test_a_study_of_somebody_elses_is_refused_and_one_that_is_being_made_is_not(
    studies: Path,
) -> None:
    storage = open_storage(JOURNAL, studies, "composability", "mine")
    study = optuna.create_study(storage=storage, study_name="mine")
    check_same_study(storage, "mine", ABOUT)
    study.enqueue_trial({"x": 1})
    with pytest.raises(InvalidInput, match="study 'mine' was not made by this command"):
        check_same_study(storage, "mine", ABOUT)


def test_a_databases_url_may_name_its_driver() -> None:
    address = "postgresql+psycopg://host/db"
    assert check_storage(address) == address


def test_processes_that_make_the_tables_at_once_find_them_the_next_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    attempts: list[str] = []

    def race(address: str, **_: object) -> str:
        attempts.append(address)
        if len(attempts) == 1:
            raise IntegrityError("CREATE TYPE", None, Exception("exists"))
        if len(attempts) == 2:
            raise ProgrammingError("CREATE TABLE", None, Exception("exists"))
        return "opened"

    monkeypatch.setattr("sweeps.study.storage.RDBStorage", race)
    for wrapper in ("get_storage", "patient"):
        monkeypatch.setattr(f"sweeps.study.storage.{wrapper}", lambda storage: storage)
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    storage: object = open_storage("postgresql://host/db", tmp_path, "any", "mine")
    assert storage == "opened" and len(attempts) == 3
    assert waits == [0.5, 1.0]


def test_tables_that_cannot_be_made_are_refused_in_one_line_after_five_attempts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    attempts: list[str] = []

    def fail(address: str, **_: object) -> None:
        attempts.append(address)
        raise ProgrammingError("CREATE TABLE", None, Exception("no permission"))

    monkeypatch.setattr(storage, "RDBStorage", fail)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(InvalidInput, match="host/db cannot be reached") as refusal:
        open_storage("postgresql://host/db", tmp_path, "any", "mine")
    assert "no permission" in str(refusal.value) and "\n" not in str(refusal.value)
    assert len(attempts) == 5


@pytest.mark.parametrize(
    ("setting", "recorded", "now"),
    [
        ("data", "testbed", "testbed@3"),
        ("model", "testbed (0123abcd)", "testbed@3 (4567cdef)"),
    ],
)
def test_a_study_of_another_version_of_the_testbed_says_so(
    tmp_path: Path, setting: str, recorded: str, now: str
) -> None:
    open_queue(tmp_path, about={**ABOUT, setting: recorded})
    opened = open_storage(JOURNAL, tmp_path, "composability", "mine")
    with pytest.raises(InvalidInput) as error:
        check_same_study(opened, "mine", {**ABOUT, setting: now})
    assert str(error.value).startswith(
        f"study 'mine' has runs of {setting}=testbed@1, and this is {setting}=testbed@3: "
    )
    assert "give this one another name" in str(error.value)


def test_optuna_is_quiet_about_a_study_that_is_opened(
    studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[int] = []
    monkeypatch.setattr(optuna.logging, "set_verbosity", levels.append)
    open_storage(JOURNAL, studies, "composability", "mine")
    assert levels == [optuna.logging.ERROR]
