"""What a study looks for: objectives, ``wmdp:min,mmlu:max``, and constraints, ``mmlu>0.55``."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from interventions.base import Intervention
from interventions.criteria.base import CRITERIA, Criterion
from interventions.errors import InvalidInput, shown
from sweeps.study.options import AUTO, NONE
from tracking.measures import MEASURES, restored_to_minimize

_DIRECTIONS = {"min": "minimize", "max": "maximize"}
_BETTER = {"higher": "max", "lower": "min"}
_UNBOUNDED = 1e9  # stands for infinity, which storages do not take
_UNLEARNING = "unlearning"
RESTORED = "restored"

Values = Mapping[str, float]
Find = Callable[[str], Criterion]  # by name; InvalidInput where there is none


def finite(value: float) -> float:
    """Return the value as samplers take it: their models need finite numbers.

    A destroyed model's perplexity is infinite; the run records it exactly.

    Example:
        >>> finite(float("inf")), finite(-2.5)
        (1000000000.0, -2.5)
    """
    return max(-_UNBOUNDED, min(_UNBOUNDED, value))


@dataclass(frozen=True)
class Objective:
    """A criterion to minimize or maximize, or how composable two steps are in it.

    Attributes:
        criterion: its name.
        direction: "minimize" or "maximize".
        measure: "order_sensitivity" or "order_free_error" of both orders; "restored", the share of
            what unlearning took that later steps bring back; "" for the criterion itself.
        better: which direction of the criterion is good.
        unlearning: number of the step that unlearns, the first is 1; 0 where that is not asked.
    """

    criterion: str
    direction: str
    measure: str = ""
    better: str = ""
    unlearning: int = 0

    @property
    def compares_orders(self) -> bool:
        """Whether it needs both orders of the steps."""
        return self.measure in MEASURES

    @property
    def name(self) -> str:
        """Return the objective as it is written, without its direction."""
        return f"{self.measure}:{self.criterion}" if self.measure else self.criterion

    def from_paths(self, *paths: Sequence[Values]) -> float:
        """Return the objective's value.

        Args:
            *paths: of each order the criteria before the first step and after every one; of an
                objective of the last step alone, that will do.
        """
        forward, *backward = (
            [values.get(self.criterion, math.nan) for values in path] for path in paths
        )
        if not self.measure:
            return forward[-1]
        better = self.better or CRITERIA.get(self.criterion).better
        if self.measure == RESTORED:
            before, unlearned = forward[self.unlearning - 1 : self.unlearning + 1]
            return restored_to_minimize(before, unlearned, forward[-1], better)
        return MEASURES[self.measure](forward[-1], backward[0][-1], better)


@dataclass(frozen=True)
class Constraint:
    """A criterion that must be above or below a bound.

    Attributes:
        criterion: its name.
        sign: "<", ">", "<=" or ">=".
        bound: in the criterion's unit.
    """

    criterion: str
    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.criterion}{self.sign}{self.bound:g}"

    def violation(self, values: Values) -> float:
        """Return how far a value is beyond the bound: above 0 if the constraint does not hold.

        Finite, as Optuna reads it.
        """
        value = values[self.criterion]
        beyond = value - self.bound if self.sign[0] == "<" else self.bound - value
        is_strict = len(self.sign) == 1
        if beyond == 0 and is_strict:
            return sys.float_info.min  # the bound itself is not below the bound
        return finite(beyond)


def read_objectives(
    text: str, steps: Sequence[type[Intervention]], find: Find = CRITERIA.get
) -> list[Objective]:
    """Read the objectives of a study.

    Args:
        text: ``"wmdp:min,mmlu:max"``; a missing direction is the criterion's better one.
            "auto" stands for the criteria that judge the categories of the steps.
        steps: the interventions of the composition, in order.
        find: returns the criterion of a name.

    Raises:
        InvalidInput: the text is unreadable, names no criterion, or names one twice; or it measures
            both orders, and the steps are not two different interventions.

    Example:
        >>> from interventions.editing.ft import FT
        >>> objectives_in_words(read_objectives("auto", [FT]))
        'edit_success:max,edit_locality:max'
    """
    if text == AUTO:
        text = _usual_objectives(steps)
    objectives = [_read_objective(part.strip(), text, find) for part in text.split(",")]
    names = [objective.name for objective in objectives]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"objective {name} is named twice in {shown(text)}")
    has_two_orders = len(steps) == 2 and steps[0] is not steps[1]
    for objective in objectives:
        if objective.compares_orders and not has_two_orders:
            raise InvalidInput(
                f"objective {objective.name} compares the two orders of two different"
                f" interventions, but got {' | '.join(step.name for step in steps)}"
            )
    return [
        replace(objective, unlearning=_unlearning_step(objective, steps))
        if objective.measure == RESTORED
        else objective
        for objective in objectives
    ]


def _unlearning_step(objective: Objective, steps: Sequence[type[Intervention]]) -> int:
    """Return the number of the step whose work is restored.

    Raises:
        InvalidInput: not exactly one step unlearns, nothing comes after it, or the criterion does
            not fall by unlearning.
    """
    places = [number for number, step in enumerate(steps, 1) if step.category == _UNLEARNING]
    if len(places) != 1 or places[0] == len(steps):
        raise InvalidInput(
            f"objective {objective.name} asks what steps after unlearning bring back: it needs one"
            f" step of {_UNLEARNING} with others after it, such as rmu | gptq, but got"
            f" {' | '.join(step.name for step in steps)}"
        )
    if objective.better != "lower":
        raise InvalidInput(
            f"objective {objective.name}: unlearning is to lower a criterion, but of"
            f" {objective.criterion} the better direction is {objective.better}"
        )
    return places[0]


def _usual_objectives(steps: Sequence[type[Intervention]]) -> str:
    """Return the objectives that the criteria name for the categories of the steps."""
    judges: list[str] = []
    for category in dict.fromkeys(step.category for step in steps):
        criteria = [c for c in CRITERIA.all().values() if category in c.judges]
        if not criteria:
            raise InvalidInput(f"no criterion judges {category}: give an objective")
        judges += [criterion.name for criterion in sorted(criteria, key=_rank)]
    return ",".join(dict.fromkeys(judges))  # one that judges two categories is named once


def _rank(criterion: Criterion) -> tuple[bool, str, int]:
    """Order criteria: those to be minimized first, then by file, then by line.

    The order enters a study's name. It must not depend on which module was imported first.
    """
    function = inspect.unwrap(criterion.function)
    code = getattr(function, "__code__", None)
    line = code.co_firstlineno if code is not None else 0
    return criterion.better != "lower", function.__module__, line


def _read_objective(text: str, whole: str, find: Find) -> Objective:
    parts = text.split(":")
    measures = (*MEASURES, RESTORED)
    measure = parts.pop(0) if parts[0] in measures else ""
    if not 1 <= len(parts) <= 2 or not parts[0]:
        raise InvalidInput(
            f"cannot read the objective {shown(text, 80)} in {shown(whole, 80)}:"
            f" write wmdp:min,mmlu:max, or {' or '.join(measures)}:CRITERION"
        )
    criterion = find(parts[0])
    direction = "min" if measure else _BETTER.get(criterion.better)
    if measure == RESTORED and criterion.category != _UNLEARNING:
        raise InvalidInput(
            f"objective {shown(text, 80)} asks what comes back of what unlearning took, and"
            f" {shown(criterion.name, 60)} does not measure that; wmdp does"
        )
    if len(parts) == 2:
        direction = parts[1]
    name = criterion.name
    if direction is None:
        raise InvalidInput(
            f"neither direction of {name} is the better one: write {name}:min or :max"
        )
    if direction not in _DIRECTIONS:
        raise InvalidInput(
            f"the direction of objective {shown(text, 100)} must be min or max, but got"
            f" {shown(direction, 100)}"
        )
    return Objective(name, _DIRECTIONS[direction], measure, criterion.better)


def read_constraints(text: str, find: Find = CRITERIA.get) -> list[Constraint]:
    """Read the constraints of a study; "none" stands for no constraint.

    Args:
        text: as on the command line.
        find: returns the criterion of a name.

    Raises:
        InvalidInput: the text is unreadable, or names no criterion.

    Example:
        >>> [str(constraint) for constraint in read_constraints("mmlu>0.55, wmdp<=0.3")]
        ['mmlu>0.55', 'wmdp<=0.3']
    """
    if text == NONE:
        return []
    constraints = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\S+)\s*", part)
        try:
            bound = float(match[3]) if match else math.nan
        except ValueError:
            bound = math.nan
        if match is None or not math.isfinite(bound):
            raise InvalidInput(
                f"cannot read the constraint {shown(part.strip(), 80)} in {shown(text, 80)}:"
                " write a criterion, < or >, and a number, such as mmlu>0.55,wmdp<0.30"
            )
        constraints.append(Constraint(find(match[1]).name, match[2], bound))
    return constraints


def objectives_in_words(objectives: Iterable[Objective]) -> str:
    """Return the text that ``read_objectives`` reads back."""
    return ",".join(f"{objective.name}:{objective.direction[:3]}" for objective in objectives)
