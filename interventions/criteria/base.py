"""Criterion: a function of a model and the data that returns its value and every item's score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from interventions.arguments import check_type, checked
from interventions.criteria.sharing import measuring, once
from interventions.data.base import PARTS, Data
from interventions.errors import InvalidInput, shown, whole_number
from interventions.lm import LM
from interventions.registry import Registry

_MOST_VERSIONS = 1_000_000
Better = Literal["higher", "lower", "neither"]


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


@dataclass(frozen=True)
class Criterion:
    """A registered criterion; call it with (lm, data).

    Attributes:
        name: the function's name.
        better: which direction is good.
        unit: of the value.
        version: raise it when the same model would get another value; recorded values are then
            measured anew.
        reads: the parts of Data that it uses.
        function: measures one model.
        chance: the value that guessing gets, if there is one.
        title: how tables print it; the name, with spaces, where it is "".
        group: names what it measures, where several criteria measure that; "" if no other does.
            A criterion whose group is the name of another criterion is a part of that one.
        judges: categories of interventions that are tuned by it unless a study says otherwise.
        category: of the interventions whose work it measures; "" for what any model can do.
    """

    name: str
    better: Better
    unit: str
    version: int
    reads: frozenset[str]
    function: Callable[[LM, Data], Scores]
    chance: float | None = None
    title: str = ""
    group: str = ""
    judges: tuple[str, ...] = ()
    category: str = ""

    def __call__(self, lm: LM, data: Data) -> Scores:
        """Measure; within one ``measuring`` block at most once."""
        return once((self.name,), lambda: self.function(lm, data))

    def identity(self, data: Data) -> list[Any]:
        """Return what, besides the model, the value depends on."""
        return [self.name, self.version, {part: data.identity(part) for part in sorted(self.reads)}]


CRITERIA: Registry[Criterion] = Registry(
    "criterion", packages=("interventions.criteria",), group="composable_interventions.criteria"
)


@checked
def criterion(
    better: Better,
    unit: str,
    reads: Iterable[str] = (),
    version: int = 1,
    *,
    chance: float | None = None,
    title: str = "",
    group: str = "",
    judges: Iterable[str] = (),
    category: str = "",
) -> Callable[[Callable[[LM, Data], Scores]], Criterion]:
    """Register a function of (lm, data) as a criterion under its own name.

    The arguments are the attributes of ``Criterion``.

    Raises:
        InvalidInput: there is a criterion of that name, an argument is of another type, or no part
            of the data is named as ``reads`` says.

    Example:
        >>> @criterion(better="lower", unit="parameters", title="Size")
        ... def example_size(lm: LM, data: Data) -> Scores:
        ...     return Scores(float(lm.model.num_parameters()), 0.0, {})
        >>> example_size.name, example_size.better
        ('example_size', 'lower')
        >>> CRITERIA.remove("example_size")
    """
    reads, judges = list(reads), list(judges)
    # anything that can be iterated over came here: a table, a tensor
    check_type("reads", reads, Sequence[str])
    check_type("judges", judges, Sequence[str])
    whole_number("version", version, 1, _MOST_VERSIONS)
    parts = frozenset(reads)
    if not parts <= PARTS:
        unknown = shown(sorted(parts - PARTS)[0], 100)
        raise InvalidInput(f"reads names {unknown}; the data has: {', '.join(sorted(PARTS))}")

    if chance is not None and not math.isfinite(chance):
        raise InvalidInput(f"chance must be finite, but got {chance}")

    def register(function: Callable[[LM, Data], Scores]) -> Criterion:
        if not callable(function) or not hasattr(function, "__name__"):
            raise InvalidInput(f"a criterion must be a function, but got {shown(function)}")
        registered = Criterion(
            name=function.__name__,
            better=better,
            unit=unit,
            version=version,
            reads=parts,
            function=function,
            chance=chance,
            title=title,
            group=group,
            judges=tuple(judges),
            category=category,
        )
        # a frozen dataclass refuses plain assignment
        registered.__dict__["__doc__"] = function.__doc__
        CRITERIA.add(registered.name, registered)
        return registered

    return register


def measure(lm: LM, data: Data, names: Iterable[str] | None = None) -> dict[str, Scores]:
    """Measure criteria on one model; what two of them share is computed once.

    Args:
        lm: the model.
        data: what to measure on.
        names: of the criteria; all by default.

    Raises:
        InvalidInput: an unknown name, or a value that is NaN or -inf, which no criterion may be.
    """
    if names is None:
        criteria = list(CRITERIA.all().values())
    else:
        criteria = [CRITERIA.get(name) for name in names]
    measured = {}
    with measuring(), torch.inference_mode():
        for each_criterion in criteria:
            scores = each_criterion(lm, data)
            if math.isnan(scores.value) or scores.value == -math.inf:
                raise InvalidInput(
                    f"criterion {each_criterion.name} must be finite or +inf, "
                    f"but got {scores.value}"
                )
            measured[each_criterion.name] = scores
    return measured


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
