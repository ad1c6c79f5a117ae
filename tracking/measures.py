"""Composability of one pair in numbers, from a criterion's values in both orders (paper, section 2.2).

``analysis.points`` computes the same for whole tables of runs; a test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType


def order_sensitivity(forward: float, backward: float, better: str = "higher") -> float:
    """|forward - backward|; infinite where both are: two destroyed models do not compose well."""
    return (
        abs(forward - backward) if math.isfinite(forward) or math.isfinite(backward) else math.inf
    )


def order_free_error(forward: float, backward: float, better: str) -> float:
    """What the better of the two orders leaves to be desired: 1 - max where higher is better, min where lower is."""
    return 1 - max(forward, backward) if better == "higher" else min(forward, backward)


MEASURES: Mapping[str, Callable[[float, float, str], float]] = MappingProxyType(
    {"order_sensitivity": order_sensitivity, "order_free_error": order_free_error}
)
