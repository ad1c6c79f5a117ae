"""A storage in a database that is away for a while is waited for, whichever request it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from optuna.storages import BaseStorage

from sweeps.retry import patiently


def patient(storage: BaseStorage) -> BaseStorage:
    """Return a storage that repeats each request to another one while that one is away.

    A study asks its storage at many places, in Optuna's own code too. That a request is made twice
    does no harm, where only the answer was lost: a trial that is put in again for the same reason
    is dropped, and one that is claimed again is another process's, lost until it is put in again.

    Args:
        storage: in a database.

    Raises:
        StoreAway: of its methods: the database did not come back.
    """
    names = [name for name, member in vars(BaseStorage).items() if callable(member)]
    methods = {name: _repeated(storage, name) for name in names if not name.startswith("_")}
    return cast(BaseStorage, type("PatientStorage", (BaseStorage,), methods)())


def _repeated(storage: BaseStorage, name: str) -> Callable[..., Any]:
    request = getattr(storage, name)

    def call(self: BaseStorage, *arguments: Any, **named: Any) -> Any:
        return patiently(lambda: request(*arguments, **named))

    return call
