"""A seeded, stratified sample of what is measured: the same for all runs under one limit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def sample_indices(strata: Sequence[str], limit: int) -> list[int]:
    """Return which items a sample has, in order.

    Every stratum has its share of the sample, rounded so that the shares add up to the limit. The
    draw depends on the strata and the limit alone, so that all runs measure the same items.

    Args:
        strata: of each item the stratum, such as the subject of a question.
        limit: the greatest number of items; 0 for all.

    Example:
        >>> drawn = sample_indices(["a"] * 60 + ["b"] * 20, 8)
        >>> len(drawn), sum(index < 60 for index in drawn)
        (8, 6)
    """
    count = len(strata)
    if not 0 < limit < count:
        return list(range(count))
    items_of: dict[str, list[int]] = {}
    for index, stratum in enumerate(strata):
        items_of.setdefault(stratum, []).append(index)
    exact = {stratum: limit * len(items) / count for stratum, items in items_of.items()}
    shares = {stratum: int(share) for stratum, share in exact.items()}
    names = list(items_of)
    random.Random("which stratum gets a rest").shuffle(
        names
    )  # of equal rests, not always the first
    names.sort(key=lambda stratum: shares[stratum] - exact[stratum])
    for stratum in names[: limit - sum(shares.values())]:
        shares[stratum] += 1
    drawn: list[int] = []
    for stratum, items in items_of.items():
        order = items.copy()
        random.Random(f"sample of {stratum}").shuffle(order)
        drawn += order[: shares[stratum]]
    return sorted(drawn)


def sample(items: Sequence[T], limit: int) -> tuple[T, ...]:
    """Return a sample of items that have no strata, in order; all of them with a limit of 0.

    Example:
        >>> sample("abc", 0)
        ('a', 'b', 'c')
    """
    return tuple(items[index] for index in sample_indices([""] * len(items), limit))
