"""A storage that is away for a while."""

import time
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage
from sqlalchemy.exc import OperationalError

from sweeps import retry
from sweeps.retry import StoreAway
from sweeps.study.patient_storage import patient
from sweeps.study.storage import open_storage


class Away(InMemoryStorage):
    """A storage that answers to no request as often as it is told.

    Attributes:
        refusals: how many requests it will not answer.
        requests: the names of those.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refusals, self.requests = 0, list[str]()

    def __getattribute__(self, name: str) -> object:
        member = super().__getattribute__(name)
        if name not in vars(BaseStorage) or name.startswith("_"):
            return member

        def request(*arguments: object, **named: object) -> object:
            if self.refusals:
                self.refusals -= 1
                self.requests.append(name)
                try:  # as Optuna says it
                    raise OperationalError("SELECT", {}, Exception("server closed the connection"))
                except OperationalError as error:
                    raise StorageInternalError("an exception is raised") from error
            return member(*arguments, **named)

        return request


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


def test_every_request_of_a_study_is_repeated_until_the_storage_answers(
    slept: list[float],
) -> None:
    away = Away()
    study = optuna.create_study(storage=patient(away), sampler=optuna.samplers.RandomSampler(0))
    for _ in range(3):
        away.refusals = 1
        trial = study.ask()
        away.refusals = 1
        value = trial.suggest_float("x", 0, 1)
        away.refusals = 1
        study.tell(trial, value)
    away.refusals = 2
    assert len(study.trials) == 3 and study.best_trial.number < 3
    assert len(away.requests) == len(slept) == 3 * 3 + 2


def test_a_database_is_waited_for(
    slept: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    away = Away()
    monkeypatch.setattr("sweeps.study.storage.RDBStorage", lambda address, **options: away)
    storage = open_storage("postgresql://host/db", tmp_path, "any", "mine")
    away.refusals = 1
    assert storage.get_all_studies() == [] and away.requests == ["get_all_studies"]


def test_a_storage_that_stays_away_is_said(slept: list[float]) -> None:
    away = Away()
    study = optuna.create_study(storage=patient(away))
    away.refusals = 99
    with pytest.raises(StoreAway, match="an exception is raised"):
        _ = study.trials
    assert slept == list(retry.WAITS)


def test_an_error_that_is_an_answer_is_not_waited_for(slept: list[float]) -> None:
    with pytest.raises(KeyError):
        patient(Away()).get_study_id_from_name("missing")
    assert slept == []
