"""Divide what is measured into what tunes and what judges, and edits into batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Split(Generic[T]):
    """What judges, and what is for tuning; nothing is for tuning where nobody said what."""

    test: tuple[T, ...] = ()
    validation: tuple[T, ...] = ()

    def of(self, split: str) -> tuple[T, ...]:
        """Return what a split has.

        Args:
            split: "test" or "validation".
        """
        return self.validation if split == "validation" else self.test


def divided(
    items: Sequence[T], share: float, seed: str, together: Callable[[T], Hashable]
) -> Split[T]:
    """Draw a share of items for tuning; the rest judges, both in the order in which they were.

    Args:
        items: at least two kinds, as each side needs something.
        share: for tuning, between 0 and 1; rounded, and at least one on each side.
        seed: of the draw.
        together: what two items have in common that may not be on two sides, such as a subject.

    Example:
        >>> divided("abcd", 0.5, "seed", lambda letter: letter).test
        ('c', 'd')
    """
    kinds = list(dict.fromkeys(map(together, items)))
    count = min(max(1, round(share * len(kinds))), len(kinds) - 1)
    for_tuning = set(random.Random(seed).sample(kinds, count)) if count > 0 else set()
    return Split(
        tuple(item for item in items if together(item) not in for_tuning),
        tuple(item for item in items if together(item) in for_tuning),
    )


def batch_of(items: Sequence[T], size: int, index: int) -> tuple[T, ...]:
    """Return one batch; the last one may have fewer.

    Args:
        items: all.
        size: of a batch; 0 makes one batch of all.
        index: of the batch, from 0.
    """
    if not size:
        return tuple(items) if index == 0 else ()
    return tuple(items[index * size : (index + 1) * size])


def count_batches(count: int, size: int) -> int:
    """Return into how many batches items go; at least one, which may be empty.

    Example:
        >>> count_batches(25, 10), count_batches(0, 10), count_batches(25, 0)
        (3, 1, 1)
    """
    return max(1, -(-count // size)) if size else 1
