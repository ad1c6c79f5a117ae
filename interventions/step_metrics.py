"""What a step measures of itself while it is applied, for its run's metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_recorded: ContextVar[dict[str, float] | None] = ContextVar("step_metrics", default=None)


def record_metric(name: str, value: float) -> None:
    """Record a number of the step that is being applied; outside of a run it goes nowhere.

    Args:
        name: ``<intervention>/<what>``.
        value: finite.

    Example:
        >>> with recorded_metrics() as metrics:
        ...     record_metric("awq/scaled", 0.75)
        >>> metrics
        {'awq/scaled': 0.75}
    """
    metrics = _recorded.get()
    if metrics is not None:
        metrics[name] = float(value)


@contextmanager
def recorded_metrics() -> Iterator[dict[str, float]]:
    """While open, collect what steps record; give a dict that fills."""
    metrics: dict[str, float] = {}
    token = _recorded.set(metrics)
    try:
        yield metrics
    finally:
        _recorded.reset(token)
