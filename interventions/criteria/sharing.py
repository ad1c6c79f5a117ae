"""Results that several criteria need, computed once per measured model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from interventions.lm import LM

T = TypeVar("T")
_RESULTS: ContextVar[dict[tuple[Any, ...], Any] | None] = ContextVar("results", default=None)


@contextmanager
def measuring() -> Iterator[None]:
    """While open, keep what criteria share; for one model only."""
    token = _RESULTS.set({})
    try:
        yield
    finally:
        _RESULTS.reset(token)


def shared(function: Callable[..., T]) -> Callable[..., T]:
    """Compute a helper of several criteria once per ``measuring`` block and arguments.

    Args:
        function: called with (lm, …); the other arguments must be hashable.
    """

    @functools.wraps(function)
    def shared_function(lm: LM, *args: Any) -> T:
        return once((function.__qualname__, *args), lambda: function(lm, *args))

    return shared_function


def once(key: tuple[Any, ...], compute: Callable[[], T]) -> T:
    """Return what ``compute`` returns, computed once per ``measuring`` block and key.

    Example:
        >>> with measuring():
        ...     once(("answer",), lambda: 42), once(("answer",), lambda: 43)
        (42, 42)
    """
    results = _RESULTS.get()
    if results is None:
        return compute()
    if key not in results:
        results[key] = compute()
    result: T = results[key]
    return result
