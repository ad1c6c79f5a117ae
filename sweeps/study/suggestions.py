"""What a search space asks for values: one step's view of a trial, or a record of the ranges."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

from interventions.errors import InvalidInput
from interventions.search_space import Trial

_DIGITS = 4  # significant ones of what is tried, so that a spec can be read


class StepTrial:
    """A trial as one step sees it.

    A parameter's name gets the step's label as its prefix. Numbers are rounded to few digits. For a
    hyperparameter that is fixed, no value is asked of the trial.
    """

    def __init__(self, trial: Trial, label: str, fixed: Container[str]) -> None:
        """Take a trial.

        Args:
            trial: gives the values.
            label: of the step, such as "wanda_2".
            fixed: names of the step's hyperparameters that are not tuned.
        """
        self._trial, self._label, self._fixed = trial, label, fixed

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number from low to high, both included."""
        if self._is_fixed(name):
            return low
        value = self._trial.suggest_float(f"{self._label}.{name}", low, high, log=log)
        # rounding must not leave the range
        return min(high, max(low, float(f"{value:.{_DIGITS}g}")))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return an integer from low to high, both included."""
        if self._is_fixed(name):
            return low
        return self._trial.suggest_int(f"{self._label}.{name}", low, high, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""
        if self._is_fixed(name):
            return choices[0]
        return self._trial.suggest_categorical(f"{self._label}.{name}", choices)

    def _is_fixed(self, name: str) -> bool:
        field = name.partition(".")[0]  # "layers.last" is a part of the field "layers"
        return field in self._fixed


class RangeRecorder:
    """A trial that returns the lowest value of every parameter, and records the ranges.

    Attributes:
        ranges: parameter -> its range, in words.
    """

    def __init__(self) -> None:
        self.ranges: dict[str, str] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return low."""
        self._record(name, low, high, log)
        return low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return low."""
        self._record(name, low, high, log)
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the first choice."""
        self.ranges[name] = ", ".join(f"{c:g}" if isinstance(c, float) else str(c) for c in choices)
        return choices[0]

    def _record(self, name: str, low: float, high: float, log: bool) -> None:
        if not low <= high or not math.isfinite(high - low):
            raise InvalidInput(
                f"{name} cannot be tuned here: there is nothing from {low:g} to {high:g};"
                " give a value"
            )
        self.ranges[name] = f"{low:g} to {high:g}" + (", logarithmic" if log else "")


class DefaultRecorder:
    """A trial that returns the default of every parameter, and records those within their range.

    Attributes:
        values: parameter -> default; without those whose default is out of the range, or none.
    """

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = {}
        self._defaults = defaults

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return the default, or low."""
        return float(self._number(name, low, high))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return the default, or low."""
        return int(self._number(name, low, high))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the default, or the first choice."""
        default = self._defaults.get(name)
        if default not in choices:
            return choices[0]
        self.values[name] = default
        return default

    def _number(self, name: str, low: float, high: float) -> float:
        default = self._defaults.get(name)
        if not isinstance(default, int | float) or not low <= default <= high:
            return low
        self.values[name] = default
        return default
