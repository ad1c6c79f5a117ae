"""Loops of which a rehearsal runs two passes that stand for all; imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Counts(Protocol):
    """What a rehearsal counts; see ``interventions.rehearsal.meta``."""

    def begin_pass(self) -> None:
        """Note the seconds and the live tensors at the start of a loop's pass."""

    def end_pass(self, times: float, passes: int) -> None:
        """Let the pass that began last stand for others.

        Args:
            times: how many times its seconds the others take.
            passes: how many others there are.
        """


_COUNTS: ContextVar[Counts | None] = ContextVar("rehearsal", default=None)


@contextmanager
def rehearsing(counts: Counts) -> Iterator[None]:
    """While open, loops over ``iterations`` are cut short, and counted as if they were not."""
    token = _COUNTS.set(counts)
    try:
        yield
    finally:
        _COUNTS.reset(token)


def iterations(items: Iterable[T], size: Callable[[T], float] = lambda item: 1.0) -> Iterable[T]:
    """Return the items of a loop whose passes are alike; in a rehearsal, the two largest alone.

    The second pass stands for those that are left out: by its time, in proportion to their sizes,
    and by the tensors that it leaves behind. The first may differ, as where an optimizer makes its
    state.

    Args:
        items: of the loop.
        size: of an item, such as its number of tokens; all alike by default.

    Example:
        >>> list(iterations([3, 4, 5]))
        [3, 4, 5]
    """
    counts = _COUNTS.get()
    return items if counts is None else _largest_two(list(items), size, counts)


def _largest_two(items: list[T], size: Callable[[T], float], counts: Counts) -> Iterator[T]:
    largest = sorted(items, key=size, reverse=True)
    yield from largest[:1]
    if len(largest) < 2:
        return
    sizes = [size(item) for item in largest[1:]]
    times, passes = 0.0, 0
    counts.begin_pass()
    try:
        yield largest[1]
        times, passes = sum(sizes[1:]) / max(sizes[0], 1e-9), len(sizes) - 1
    finally:  # also where the loop is left in its second pass
        counts.end_pass(times, passes)
