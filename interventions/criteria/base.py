"""A criterion is one decorated function of (lm, data) that returns its value, standard error and per-item scores."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch

from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.registry import Registry

T = TypeVar("T")
Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Scores:
    """What a criterion measured.

    Attributes:
        value: the criterion; finite or +inf.
        stderr: its standard error over the items; 0 where nothing was sampled, NaN where it is not defined.
        items: item id -> score.
    """

    value: float
    stderr: float
    items: Mapping[str, float]


@dataclass(frozen=True)
class Criterion:
    """A registered criterion; call it with (lm, data).

    Attributes:
        better: which direction is good.
        unit: of the value.
        version: raise it when the same model would get another value; recorded values are then measured anew.
        reads: the parts of Data that it uses.
    """

    name: str
    better: Better
    unit: str
    version: int
    reads: frozenset[str]
    function: Callable[[LM, Data], Scores]

    def __call__(self, lm: LM, data: Data) -> Scores:
        """Measure; within one ``measuring`` block at most once."""
        return _once((self.name,), lambda: self.function(lm, data))

    def identity(self, data: Data) -> list[Any]:
        """What, besides the model, the value depends on."""
        return [self.name, self.version, {part: data.identity(part) for part in sorted(self.reads)}]


CRITERIA: Registry[Criterion] = Registry(
    "criterion", packages=("interventions.criteria",), group="composable_interventions.criteria"
)


def criterion(
    better: Better, unit: str, reads: Iterable[str] = (), version: int = 1
) -> Callable[[Callable[[LM, Data], Scores]], Criterion]:
    """Register a function as a criterion under its own name."""

    def register(function: Callable[[LM, Data], Scores]) -> Criterion:
        made = Criterion(function.__name__, better, unit, version, frozenset(reads), function)
        made.__dict__["__doc__"] = function.__doc__
        CRITERIA.add(made.name, made)
        return made

    return register


def measure(lm: LM, data: Data, names: Iterable[str] | None = None) -> dict[str, Scores]:
    """Measure criteria (all by default) on one model; what two of them share is computed once.

    Raises:
        InvalidInput: an unknown name, or a value that is NaN or -inf, which no criterion may be.
    """
    chosen = (
        [CRITERIA.get(name) for name in names]
        if names is not None
        else list(CRITERIA.all().values())
    )
    measured = {}
    with measuring(), torch.inference_mode():
        for one in chosen:
            scores = one(lm, data)
            if math.isnan(scores.value) or scores.value == -math.inf:
                raise InvalidInput(
                    f"criterion {one.name} must be finite or +inf, but got {scores.value}"
                )
            measured[one.name] = scores
    return measured


_SHARED: ContextVar[dict[tuple[Any, ...], Any] | None] = ContextVar("shared", default=None)


@contextmanager
def measuring() -> Iterator[None]:
    """While open, what criteria share is kept; for one model only."""
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


def shared(function: Callable[..., T]) -> Callable[..., T]:
    """A helper of several criteria, called with (lm, …): computed once per ``measuring`` block and arguments."""

    @functools.wraps(function)
    def once(lm: LM, *args: Any) -> T:
        return _once((function.__qualname__, *args), lambda: function(lm, *args))

    return once


def _once(key: tuple[Any, ...], compute: Callable[[], T]) -> T:
    kept = _SHARED.get()
    if kept is None:
        return compute()
    if key not in kept:
        kept[key] = compute()
    result: T = kept[key]
    return result


def mean_scores(items: Mapping[str, float]) -> Scores:
    """The mean of per-item scores and its standard error (sample standard deviation / sqrt n)."""
    values = list(items.values())
    return Scores(sum(values) / len(values), standard_error(values), items)


def standard_error(values: Sequence[float]) -> float:
    """Sample standard deviation / sqrt n; NaN for fewer than two values."""
    n = len(values)
    if n < 2:
        return math.nan
    mean = sum(values) / n
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
