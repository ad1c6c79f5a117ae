"""What a study tries: a composition whose open hyperparameters come from a grid of the paper's or from ``suggest``."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interventions.base import INTERVENTIONS, Intervention, make
from interventions.composition import Composition, calls
from interventions.errors import InvalidInput
from interventions.hyperparameters import fields_of
from interventions.search_space import Trial, TuningContext

NAMES = ("default", "paper")
_DIGITS = 4  # significant ones of what is tried, so that a spec can be read


@dataclass(frozen=True)
class Step:
    """One step of the composition: what is given stays as it is.

    Attributes:
        label: the prefix of its parameters, as in a run's params: the second ``wanda`` is ``wanda_2``.
        cls: the intervention.
        given: what is not tuned.
        grid: the paper's values that fit, by field; empty in the space ``default``.
        left_out: in words, the paper's values that do not fit.
    """

    label: str
    cls: type[Intervention]
    given: Mapping[str, Any]
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


class Space:
    """The compositions that a study may try.

    Attributes:
        name: "default" or "paper".
        text: the composition as it was asked for.
        tuned: parameter -> its range, in words.
    """

    def __init__(self, text: str, name: str, room: TuningContext) -> None:
        """Read a composition; raises InvalidInput if it cannot be tuned here."""
        if name not in NAMES:
            raise InvalidInput(f"space must be {' or '.join(NAMES)}, but got {name!r}")
        self.name, self.text, self.room = name, text, room
        named, seen = calls(text), Counter[str]()
        if not named:
            raise InvalidInput(
                f"give an intervention to tune, such as rmu or 'lora | wanda', but got {text!r}"
            )
        steps = []
        for called, given in named:
            make(
                called, room.profile, **given
            )  # unknown names and values out of range are said before all else
            seen[called] += 1
            label = called if seen[called] == 1 else f"{called}_{seen[called]}"
            cls = INTERVENTIONS.get(called)
            steps.append(
                _on_grid(label, cls, given, room) if name == "paper" else Step(label, cls, given)
            )
        self.steps = tuple(steps)
        first = _First()
        self._checked(self.composition(first))
        self.tuned = first.ranges
        if not self.tuned:
            raise InvalidInput(
                f"nothing is left to tune in {text!r} with space={name}: every value is given"
            )

    @property
    def left_out(self) -> list[str]:
        """What of the paper's grid does not fit this model and these data, in words."""
        return [line for step in self.steps for line in step.left_out]

    def composition(self, trial: Trial) -> Composition:
        """What a trial tries."""
        return Composition(self._step(step, _Part(trial, step)) for step in self.steps)

    def is_tuned(self, step: int) -> bool:
        """Whether any hyperparameter of the composition's step is."""
        return any(name.startswith(f"{self.steps[step].label}.") for name in self.tuned)

    def points(self) -> list[dict[str, Any]]:
        """Every point of the grid, by parameter; raises InvalidInput where there is none."""
        if self.name != "paper":
            raise InvalidInput(
                f"sampler=grid needs space=paper: space={self.name} is continuous; or use sampler=tpe"
            )
        axes = {
            f"{step.label}.{key}": values
            for step in self.steps
            for key, values in step.grid.items()
        }
        return [
            dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
        ]

    def _step(self, step: Step, part: _Part) -> Intervention:
        if self.name == "paper":
            chosen = {
                key: part.suggest_categorical(key, tuple(values))
                for key, values in step.grid.items()
            }
        elif all(key in step.given for key in fields_of(step.cls)):
            chosen = {}
        else:
            chosen = step.cls.suggest(part, self.room)
        return make(step.cls.name, self.room.profile, **{**chosen, **step.given})

    def _checked(self, steps: Composition) -> None:
        for step in steps:
            step.check(self.room.model)


def _on_grid(
    label: str, cls: type[Intervention], given: Mapping[str, Any], room: TuningContext
) -> Step:
    """A step with the paper's values that fit; one that the paper did not search stays as it is given."""
    if not cls.grid:
        if given:
            return Step(label, cls, given)
        known = ", ".join(name for name, other in INTERVENTIONS.all().items() if other.grid)
        raise InvalidInput(
            f"the paper has no grid for {cls.name}, only for {known}: use space=default, or give its hyperparameters,"
            f" as in {make(cls.name, room.profile).spec(room.profile)}(…), to keep it as it is"
        )
    fit: dict[str, list[Any]] = {}
    lines = []
    for key, values in cls.grid.items():
        if key in given:
            continue
        reasons = {value: _misfit(cls, {**given, key: value}, key, room) for value in values}
        fit[key] = [value for value, reason in reasons.items() if not reason]
        out = [value for value, reason in reasons.items() if reason]
        if out:
            shown = ", ".join(f"{value:g}" for value in out)
            lines.append(
                f"{label}.{key}: {len(out)} of {len(values)} left out ({shown}): {reasons[out[-1]]}"
            )
        if not fit[key]:
            raise InvalidInput(f"no value of the paper's grid fits: {lines[-1]}")
    return Step(label, cls, given, fit, tuple(lines))


def _misfit(
    cls: type[Intervention], given: Mapping[str, Any], key: str, room: TuningContext
) -> str:
    """Why a value does not fit the model or the data; "" if it does."""
    try:
        make(cls.name, room.profile, **given).check(room.model)
    except InvalidInput as error:
        return str(error)
    part = cls.texts.get(key)
    if part and given[key] > room.texts(part):
        return f"there are {room.texts(part)} texts to {part}"
    return ""


class _Part:
    """A trial as one step sees it: names get its prefix, numbers few digits; what is given is not asked for."""

    def __init__(self, trial: Trial, step: Step) -> None:
        self._trial, self._label, self._given = trial, step.label, step.given

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        if name.partition(".")[0] in self._given:
            return low
        value = self._trial.suggest_float(f"{self._label}.{name}", low, high, log=log)
        return min(high, max(low, float(f"{value:.{_DIGITS}g}")))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        if name.partition(".")[0] in self._given:
            return low
        return self._trial.suggest_int(f"{self._label}.{name}", low, high, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name.partition(".")[0] in self._given:
            return choices[0]
        return self._trial.suggest_categorical(f"{self._label}.{name}", choices)


class _First:
    """The lowest value of everything; notes the ranges."""

    def __init__(self) -> None:
        self.ranges: dict[str, str] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self._note(name, low, high, log)
        return low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self._note(name, low, high, log)
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.ranges[name] = ", ".join(f"{c:g}" if isinstance(c, float) else str(c) for c in choices)
        return choices[0]

    def _note(self, name: str, low: float, high: float, log: bool) -> None:
        if not low <= high or not math.isfinite(high - low):
            raise InvalidInput(
                f"{name} cannot be tuned here: there is nothing from {low:g} to {high:g}; give a value"
            )
        self.ranges[name] = f"{low:g} to {high:g}" + (", logarithmic" if log else "")
