"""What is tried again, how often, and what comes through."""

import contextlib
import gc
import time
import weakref
from collections.abc import Callable

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from sqlalchemy.exc import InterfaceError, OperationalError

from sweeps import retry
from sweeps.retry import StoreAway, is_store_away, patiently, without_waiting


class Unreliable:
    """A call that fails so many times."""

    def __init__(self, failures: int, error: BaseException) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "answer"


def locked() -> OperationalError:
    return OperationalError("select 1", {}, Exception("database is locked"))


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, which take no time."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


def test_only_errors_of_the_store_are_waited_out() -> None:
    with pytest.raises(ZeroDivisionError):
        retry.patiently(lambda: 1 // 0)
    assert not is_store_away(RuntimeError("connection refused"))
    assert is_store_away(locked())


def test_an_attempt_is_repeated_after_each_wait_in_turn(
    slept: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert patiently(Unreliable(3, locked())) == "answer"
    assert slept == list(retry.WAITS[:3])
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith("the store is away, trying again in 4 s: (builtins.Exception)")
    assert len([line for line in lines if "trying again" in line]) == 3


def test_a_last_attempt_follows_the_last_wait(slept: list[float]) -> None:
    assert patiently(Unreliable(len(retry.WAITS), locked())) == "answer"
    assert slept == list(retry.WAITS)


def test_a_store_that_stays_away_is_said_with_its_error(slept: list[float]) -> None:
    unreliable = Unreliable(99, locked())
    with pytest.raises(StoreAway, match="database is locked") as raised:
        patiently(unreliable)
    assert unreliable.calls == len(retry.WAITS) + 1
    assert raised.value.__cause__ is unreliable.error


def test_an_error_of_something_else_ends_the_waiting(slept: list[float]) -> None:
    errors = iter([locked(), ZeroDivisionError("mine")])

    def attempt() -> None:
        raise next(errors)

    with pytest.raises(ZeroDivisionError, match="mine"):
        patiently(attempt)
    assert len(slept) == 1


def test_ctrl_c_while_the_store_is_away_ends_the_program(slept: list[float]) -> None:
    def attempt() -> None:
        try:
            raise locked()
        except OperationalError:
            raise KeyboardInterrupt  # noqa: B904 - as it comes while an error is handled

    with pytest.raises(KeyboardInterrupt):
        patiently(attempt)
    assert slept == []


def test_what_was_waited_for_is_not_waited_for_again_around_it(slept: list[float]) -> None:
    unreliable = Unreliable(99, locked())
    with pytest.raises(StoreAway):
        patiently(lambda: patiently(unreliable))
    assert unreliable.calls == len(retry.WAITS) + 1


def test_a_program_that_is_about_to_end_tries_once(slept: list[float]) -> None:
    unreliable = Unreliable(1, locked())
    with pytest.raises(OperationalError), without_waiting():
        patiently(unreliable)
    assert slept == [] and patiently(unreliable) == "answer"


def test_a_block_without_waiting_ends_with_waiting_again(slept: list[float]) -> None:
    with without_waiting():
        pass
    assert patiently(Unreliable(1, locked())) == "answer"
    assert slept == [retry.WAITS[0]]


class Model:
    """Something large that must not outlive the run that failed with it."""


def test_a_failed_attempt_keeps_nothing_in_memory() -> None:
    models: weakref.WeakSet[Model] = weakref.WeakSet()

    def attempt() -> None:
        model = Model()
        models.add(model)
        raise ZeroDivisionError

    gc.disable()
    try:
        with contextlib.suppress(ZeroDivisionError):
            patiently(attempt)
        assert len(models) == 0
    finally:
        gc.enable()


def _raise_from(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except type(error) as raised:
        return raised


def _raise_after(error: Exception, earlier: Exception) -> Exception:
    error.__context__ = earlier  # as if raised while the earlier one was handled
    return error


@pytest.mark.parametrize(
    ("make_error", "away"),
    [
        (lambda: InterfaceError("select 1", {}, Exception("connection closed")), True),
        (lambda: requests.ConnectionError("refused"), True),
        (lambda: requests.Timeout("slow"), True),
        (lambda: ConnectionResetError("reset"), True),
        (lambda: MlflowException("API request to http://server failed"), True),
        (lambda: MlflowException("wait", error_code=TEMPORARILY_UNAVAILABLE), True),
        (lambda: MlflowException("no such run"), False),
        (lambda: _raise_from(RuntimeError("wrapped"), locked()), True),
        (lambda: _raise_from(RuntimeError("wrapped"), ValueError("mine")), False),
        (lambda: _raise_after(RuntimeError("wrapped"), locked()), True),
        (lambda: FileNotFoundError("gone"), False),
    ],
)
def test_what_says_that_a_store_is_away(make_error: Callable[[], Exception], away: bool) -> None:
    assert is_store_away(make_error()) == away


def test_what_is_waited_for_is_said_without_the_stores_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retry, "WAITS", (0.0,))

    def attempt() -> None:
        raise ConnectionError("no answer of http://ada:s3cret@host:5000")

    with pytest.raises(StoreAway) as error:
        patiently(attempt)
    assert "s3cret" not in str(error.value) + capsys.readouterr().err
    assert "http://ada:***@host:5000" in str(error.value)


def test_an_error_is_said_in_three_hundred_characters() -> None:
    assert retry._one_short_line(ValueError("x" * 900)) == "x" * 299 + "…"
