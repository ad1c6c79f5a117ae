"""What a study looks for: objectives, ``wmdp:min,mmlu:max``, and constraints, ``mmlu>0.55,wmdp<0.30``."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from interventions.base import Intervention
from interventions.criteria.base import CRITERIA, Scores
from interventions.errors import InvalidInput
from tracking.measures import MEASURES

AUTO = "auto"
# what a category is for, and what it costs
_USUAL = {
    "editing": "edit_success:max,edit_locality:max",
    "unlearning": "wmdp:min,mmlu:max",
    "compression": "average_bits:min,wikitext_ppl:min",
}
_DIRECTIONS = {"min": "minimize", "max": "maximize"}
_UNBOUNDED = 1e9  # what samplers are told of an infinite value (a destroyed model's perplexity); the run has it exactly

Values = Mapping[str, Scores]


@dataclass(frozen=True)
class Objective:
    """A criterion to minimize or maximize, or how composable two steps are in it.

    Attributes:
        criterion: its name.
        direction: "minimize" or "maximize".
        measure: "order_sensitivity" or "order_free_error" of both orders; "" for the criterion itself.
    """

    criterion: str
    direction: str
    measure: str = ""

    @property
    def name(self) -> str:
        """As it is written, without the direction."""
        return f"{self.measure}:{self.criterion}" if self.measure else self.criterion

    def value(self, forward: Values, backward: Values | None = None) -> float:
        """From the criteria after the composition as written, and, for a measure, after the other order."""
        return self.of(
            *(values[self.criterion].value for values in (forward, backward) if values is not None)
        )

    def of(self, forward: float, backward: float | None = None) -> float:
        """From the criterion's value after the composition as written, and, for a measure, after the other order."""
        if not self.measure:
            return forward
        assert backward is not None, "a measure needs both orders"
        return MEASURES[self.measure](forward, backward, CRITERIA.get(self.criterion).better)

    def told(self, value: float) -> float:
        """The value as samplers are told it: finite, as their models need it."""
        return max(-_UNBOUNDED, min(_UNBOUNDED, value))


@dataclass(frozen=True)
class Constraint:
    """A criterion that must be above or below a bound."""

    criterion: str
    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.criterion}{self.sign}{self.bound:g}"

    def violation(self, values: Values) -> float:
        """Above 0 if it does not hold, as Optuna reads it; the further, the more. Finite."""
        value = values[self.criterion].value
        beyond = value - self.bound if self.sign[0] == "<" else self.bound - value
        if beyond == 0 and len(self.sign) == 1:
            return sys.float_info.min  # the bound itself is not below it
        return max(-_UNBOUNDED, min(_UNBOUNDED, beyond))


def objectives(text: str, steps: Sequence[type[Intervention]]) -> list[Objective]:
    """Read objectives; ``auto`` is what the steps' categories are usually judged by.

    Raises:
        InvalidInput: unreadable; no such criterion; one named twice; a measure of both orders, but not of two steps.
    """
    if text == AUTO:
        text = ",".join(dict.fromkeys(_USUAL[step.category] for step in steps))
    found = [_objective(part.strip(), text) for part in text.split(",")]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"objective {name} is named twice in {text!r}")
    for one in found:
        if one.measure and (len(steps) != 2 or steps[0] is steps[1]):
            raise InvalidInput(
                f"objective {one.name} compares the two orders of two different interventions, but got"
                f" {' | '.join(step.name for step in steps)}"
            )
    return found


def _objective(text: str, whole: str) -> Objective:
    parts = text.split(":")
    measure = parts.pop(0) if parts[0] in MEASURES else ""
    if not 1 <= len(parts) <= 2 or not parts[0]:
        raise InvalidInput(
            f"cannot read the objective {text!r} in {whole!r}: write wmdp:min,mmlu:max, or"
            f" {' or '.join(MEASURES)}:CRITERION"
        )
    criterion = CRITERIA.get(parts[0])
    better = {"higher": "max", "lower": "min"}.get(criterion.better)
    direction = "min" if measure else better
    if len(parts) == 2:
        direction = parts[1]
    if direction is None:
        raise InvalidInput(
            f"neither direction of {criterion.name} is the better one: write {criterion.name}:min or :max"
        )
    if direction not in _DIRECTIONS:
        raise InvalidInput(
            f"the direction of objective {text!r} must be min or max, but got {direction!r}"
        )
    return Objective(criterion.name, _DIRECTIONS[direction], measure)


def constraints(text: str) -> list[Constraint]:
    """Read constraints; ``none`` is none.

    Raises:
        InvalidInput: unreadable, or no such criterion.
    """
    if text == "none":
        return []
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\S+)\s*", part)
        try:
            bound = float(match[3]) if match else math.nan
        except ValueError:
            bound = math.nan
        if match is None or not math.isfinite(bound):
            raise InvalidInput(
                f"cannot read the constraint {part.strip()!r} in {text!r}: write a criterion, < or >, and a number,"
                " such as mmlu>0.55,wmdp<0.30"
            )
        found.append(Constraint(CRITERIA.get(match[1]).name, match[2], bound))
    return found


def in_words(chosen: Iterable[Objective]) -> str:
    """The text that ``objectives`` reads back."""
    return ",".join(f"{one.name}:{one.direction[:3]}" for one in chosen)
