"""Try again while the store is away: an outage of a minute must not cost a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NoReturn, TypeVar

import requests
import tenacity
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import InterfaceError, OperationalError

from interventions.errors import printable_line

Result = TypeVar("Result")

# seconds between attempts; where the store is a server, MLflow's client has tried before, too
WAITS = (1.0, 4.0, 10.0, 20.0, 40.0, 60.0)

_UNREACHABLE = (
    OperationalError,
    InterfaceError,
    requests.ConnectionError,
    requests.Timeout,
    ConnectionError,
)
_UNAVAILABLE_CODES = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")

_WAITS: ContextVar[bool] = ContextVar("waits", default=True)


class StoreAway(Exception):
    """The store could not be reached, however often it was tried."""


def patiently(attempt: Callable[[], Result]) -> Result:
    """Call ``attempt``, and call it again after a while as long as the store is away.

    Args:
        attempt: reads or writes the store; may be called several times.

    Returns:
        What ``attempt`` returns.

    Raises:
        StoreAway: the store did not come back within all of WAITS. Any other error of ``attempt``
            comes through at once.

    Example:
        >>> patiently(lambda: 1 + 1)
        2
    """
    states: list[tenacity.RetryCallState] = []
    retrying = tenacity.Retrying(
        wait=tenacity.wait_chain(*map(tenacity.wait_fixed, WAITS)),
        stop=tenacity.stop_after_attempt(len(WAITS) + 1),
        retry=tenacity.retry_if_exception(_is_worth_waiting),
        before=states.append,
        before_sleep=_report_wait,
        retry_error_callback=_give_up,
    )
    try:
        return retrying(attempt)
    finally:
        # The state holds the error, and the error's traceback holds the state: without this, the
        # model of a run that failed stays in memory until the garbage collector comes by.
        for state in states:
            state.outcome = None


@contextmanager
def without_waiting() -> Iterator[None]:
    """Let ``patiently`` try once while the block runs: the program is about to end."""
    token = _WAITS.set(False)
    try:
        yield
    finally:
        _WAITS.reset(token)


def is_store_away(error: BaseException) -> bool:
    """Return whether an error, or what caused it, says that a store is out of reach or locked.

    Example:
        >>> is_store_away(ConnectionRefusedError("connection refused"))
        True
        >>> is_store_away(RuntimeError("connection refused"))
        False
    """
    return any(_says_away(cause) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then what it came from, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _says_away(error: BaseException) -> bool:
    if isinstance(error, MlflowException):
        return error.error_code in _UNAVAILABLE_CODES or "API request to" in str(error)
    return isinstance(error, _UNREACHABLE)


def _is_worth_waiting(error: BaseException) -> bool:
    if not _WAITS.get() or isinstance(error, StoreAway):  # that was waited for already
        return False
    # Ctrl-C while the store is away has the store's error as its context, and must end the program
    return isinstance(error, Exception) and is_store_away(error)


def _report_wait(state: tenacity.RetryCallState) -> None:
    assert state.next_action is not None
    print(
        f"the store is away, trying again in {state.next_action.sleep:g} s:"
        f" {_one_short_line(_error(state))}",
        file=sys.stderr,
        flush=True,
    )


def _give_up(state: tenacity.RetryCallState) -> NoReturn:
    error = _error(state)
    raise StoreAway(_one_short_line(error)) from error


def _error(state: tenacity.RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None, "only a failed attempt is waited for"
    return error


def _one_short_line(error: BaseException) -> str:
    return printable_line(str(error), 300)  # without the address's password
