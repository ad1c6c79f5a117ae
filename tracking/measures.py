"""Measure how well a pair composes, from a criterion's values in both orders.

Both measures are those of the paper's section 2.2. The functions take single numbers as well as
whole columns (NumPy arrays or pandas Series).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeVar, overload

import numpy as np

LEAST_TAKEN = 0.05  # of a criterion: where unlearning took less, a share of it says nothing
Error = Literal["best", "worst"]
Values = TypeVar("Values", float, Any)


def order_sensitivity(forward: Values, backward: Values) -> Values:
    """Return by how much the two orders differ: |forward - backward| (paper, section 2.2).

    Args:
        forward: the criterion's value after the one order; a number, an array or a Series.
        backward: its value after the other order.

    Returns:
        Of the type that was given. Two infinite values (destroyed models) have no difference: NaN.

    Example:
        >>> order_sensitivity(0.75, 0.5)
        0.25
        >>> order_sensitivity(math.inf, math.inf)
        nan
    """
    with np.errstate(invalid="ignore"):  # inf - inf
        return abs(forward - backward)


@overload
def order_free_error(
    forward: float, backward: float, better: str, error: Error = "best"
) -> float: ...
@overload
def order_free_error(forward: Any, backward: Any, better: Any, error: Error = "best") -> Any: ...
def order_free_error(forward: Any, backward: Any, better: Any, error: Error = "best") -> Any:
    """Return what the better of the two orders leaves to be desired (paper, section 2.2).

    That is 1 - max(forward, backward) where higher is better, and min(forward, backward) where
    lower is better. The paper's text and its Tables 2-4 say so; its printed equation 1 has the
    worse of the two orders, which is ``error="worst"``.

    Args:
        forward: the criterion's value after the one order; a number, an array or a Series.
        backward: its value after the other order.
        better: "higher", "lower" or "neither": one for all, or one per value.
        error: "best", or "worst" for equation 1.

    Returns:
        A number if numbers were given, else an array. NaN where neither direction is better, or
        where an order has no value.

    Example:
        >>> order_free_error(0.75, 0.5, "higher")
        0.25
        >>> order_free_error(0.75, 0.5, "lower", error="worst")
        0.75
    """
    low, high = np.minimum(forward, backward), np.maximum(forward, backward)
    best_is_high = np.equal(better, "higher") == (error == "best")
    value = np.where(best_is_high, high, low)
    higher, lower = np.equal(better, "higher"), np.equal(better, "lower")
    errors = np.where(higher, 1 - value, np.where(lower, value, np.nan))
    return errors.item() if errors.ndim == 0 else errors


def restored_share(base: Values, unlearned: Values, after: Values) -> Values:
    """Return what share of what unlearning took a later step brings back.

    Args:
        base: the criterion's value before unlearning; a number, an array or a Series.
        unlearned: its value after unlearning.
        after: its value after the later step.

    Returns:
        0: all stays unlearned; 1: all is back; below 0: the later step takes more away.

    Source: Zhang et al. 2025, "Catastrophic Failure of LLM Unlearning via Quantization", section 4.

    Example:
        >>> restored_share(0.75, 0.25, 0.5)
        0.5
    """
    return (after - unlearned) / (base - unlearned)


def restored_to_minimize(base: float, unlearned: float, after: float, better: str) -> float:
    """Return the restored share as a study minimizes it.

    Below 0 it is 0: a step that takes more away brings nothing back. Where unlearning took less
    than ``LEAST_TAKEN``, or the model is destroyed, it is infinite.

    Example:
        >>> restored_to_minimize(0.75, 0.25, 0.125, "lower")
        0.0
        >>> restored_to_minimize(0.75, 0.74, 0.74, "lower")
        inf
    """
    taken = base - unlearned if better == "lower" else unlearned - base
    if not (taken >= LEAST_TAKEN and math.isfinite(after)):
        return math.inf
    return max(0.0, restored_share(base, unlearned, after))


def _sensitivity_to_minimize(forward: float, backward: float, better: str) -> float:
    # a study must not take two destroyed models for ones that compose well
    both_infinite = not math.isfinite(forward) and not math.isfinite(backward)
    return math.inf if both_infinite else order_sensitivity(forward, backward)


def _error_to_minimize(forward: float, backward: float, better: str) -> float:
    return order_free_error(forward, backward, "higher" if better == "higher" else "lower")


# what a study can minimize: (forward, backward, better) -> a number that is never NaN
MEASURES: Mapping[str, Callable[[float, float, str], float]] = MappingProxyType(
    {"order_sensitivity": _sensitivity_to_minimize, "order_free_error": _error_to_minimize}
)
