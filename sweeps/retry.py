"""A store that is away for a minute must not cost a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import InterfaceError, OperationalError

T = TypeVar("T")
WAITS = (
    1.0,
    4.0,
    10.0,
    20.0,
    40.0,
    60.0,
)  # seconds; MLflow's own client has waited before, where it is a server


class StoreAway(Exception):
    """The store did not come back."""


def patiently(attempt: Callable[[], T]) -> T:
    """Call ``attempt``, again after a while as long as the store is away.

    Raises:
        StoreAway: it did not come back in time; whatever else ``attempt`` raises comes through.
    """
    for wait in WAITS:
        try:
            return attempt()
        except Exception as error:
            if not is_away(error):
                raise
            print(
                f"the store is away, trying again in {wait:g} s: {_short(error)}",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(wait)
    try:
        return attempt()
    except Exception as error:
        if is_away(error):
            raise StoreAway(_short(error)) from error
        raise


def is_away(error: BaseException) -> bool:
    """Whether an error, or what it came from, is one of a store that cannot be reached, or is locked."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(
            seen,
            OperationalError
            | InterfaceError
            | requests.ConnectionError
            | requests.Timeout
            | ConnectionError,
        ):
            return True
        away = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
        if isinstance(seen, MlflowException) and (
            seen.error_code in away or "API request to" in str(seen)
        ):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
