"""What a criterion returns: its value, its standard error and every item's score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scores:
    """What a criterion measured.

    Attributes:
        value: of the criterion; finite or +inf.
        stderr: its standard error over the items; 0 where nothing was sampled, NaN where it is not
            defined.
        items: item id -> score.
    """

    value: float
    stderr: float
    items: Mapping[str, float]


def mean_scores(items: Mapping[str, float]) -> Scores:
    """Return the mean of per-item scores and its standard error.

    Example:
        >>> mean_scores({"first": 0.0, "second": 1.0})
        Scores(value=0.5, stderr=0.5, items={'first': 0.0, 'second': 1.0})
    """
    values = list(items.values())
    return Scores(sum(values) / len(values), standard_error(values), items)


def standard_error(values: Sequence[float]) -> float:
    """Return the sample standard deviation / sqrt n; NaN for fewer than two values.

    Example:
        >>> standard_error([0.0, 1.0])
        0.5
    """
    count = len(values)
    if count < 2:
        return math.nan
    mean = sum(values) / count
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)


def grouped_scores(groups: Mapping[str, Mapping[str, float]]) -> Scores:
    """Return the mean of all items, and its standard error where items of a group are alike.

    The error is that of the groups' sums (cluster-robust), so a group of equal items counts as one.

    Args:
        groups: group -> item -> score; the items of a group are named ``<group>/<item>``.

    Source: Miller 2024, "Adding Error Bars to Evals", section 2.2; with n / (n - 1) for n groups.

    Example:
        >>> grouped_scores({"0": {"a": 0.0, "b": 0.0}, "1": {"a": 1.0, "b": 1.0}}).stderr
        0.5
    """
    items = {f"{name}/{item}": x for name, group in groups.items() for item, x in group.items()}
    mean = sum(items.values()) / len(items)
    sums = [sum(x - mean for x in group.values()) for group in groups.values() if group]
    # the sums of deviations have the mean 0, and there are as many as groups
    error = standard_error(sums) * len(sums) / len(items)
    return Scores(mean, error, items)
