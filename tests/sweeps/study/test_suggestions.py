"""What a space asks of a trial, and the ranges that it records."""

import math
from typing import Any

import pytest

from interventions.errors import InvalidInput
from sweeps.study.suggestions import DefaultRecorder, RangeRecorder, StepTrial


class HighTrial:
    """A trial that returns the highest value, and records what it is asked for."""

    def __init__(self) -> None:
        self.questions: list[tuple[Any, ...]] = []

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.questions.append((name, low, high, log))
        return high

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.questions.append((name, low, high, log))
        return high

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.questions.append((name, *choices))
        return choices[-1]


def test_parameters_have_the_steps_label_and_their_scale() -> None:
    trial = HighTrial()
    step = StepTrial(trial, "ft_2", ())
    assert step.suggest_float("lr", 1e-4, 1e-2, log=True) == 1e-2
    assert step.suggest_int("steps", 1, 8, log=True) == 8
    assert step.suggest_categorical("kind", ("a", "b")) == "b"
    assert trial.questions == [
        ("ft_2.lr", 1e-4, 1e-2, True),
        ("ft_2.steps", 1, 8, True),
        ("ft_2.kind", "a", "b"),
    ]


def test_a_scale_is_linear_unless_it_is_asked_for() -> None:
    trial, recorder = HighTrial(), RangeRecorder()
    for suggesting in (StepTrial(trial, "ft", ()), recorder):
        suggesting.suggest_float("lr", 1.0, 2.0)
        suggesting.suggest_int("steps", 1, 8)
    assert trial.questions == [("ft.lr", 1.0, 2.0, False), ("ft.steps", 1, 8, False)]
    assert recorder.ranges == {"lr": "1 to 2", "steps": "1 to 8"}


def test_numbers_are_rounded_but_not_out_of_their_range() -> None:
    step = StepTrial(HighTrial(), "ft", ())
    assert step.suggest_float("lr", 0.0, 0.1234321) == 0.1234
    assert step.suggest_float("lr", 0.0, 0.99996) == 0.99996  # would be rounded to 1


def test_what_is_fixed_is_not_asked_for() -> None:
    trial = HighTrial()
    step = StepTrial(trial, "ft", ("lr", "layers", "kind"))
    assert step.suggest_float("lr", 1.0, 2.0) == 1.0
    assert step.suggest_int("layers.last", 3, 5) == 3
    assert step.suggest_categorical("kind", ("a", "b")) == "a"
    assert trial.questions == []


def test_ranges_are_recorded_in_words() -> None:
    recorder = RangeRecorder()
    assert recorder.suggest_float("lr", 1e-4, 1e-2, log=True) == 1e-4
    assert recorder.suggest_int("steps", 3, 3) == 3
    assert recorder.suggest_categorical("kind", (1.0, "b")) == 1.0
    assert recorder.ranges == {
        "lr": "0.0001 to 0.01, logarithmic",
        "steps": "3 to 3",
        "kind": "1, b",
    }


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (1.0, math.inf), (math.nan, 1.0)])
def test_a_range_with_nothing_in_it_is_refused(low: float, high: float) -> None:
    with pytest.raises(InvalidInput, match="lr cannot be tuned here: there is nothing from"):
        RangeRecorder().suggest_float("lr", low, high)


def test_a_default_that_cannot_be_drawn_is_not_recorded() -> None:
    defaults = {"rate": 2.0, "steps": 7, "kind": "b", "bits": None, "exact": 1.0}
    recorder = DefaultRecorder(defaults)
    assert recorder.suggest_float("rate", 0.1, 1.0) == 0.1
    assert recorder.suggest_float("exact", 0.1, 1.0) == 1.0
    assert recorder.suggest_int("steps", 1, 9, log=True) == 7
    assert recorder.suggest_int("bits", 2, 4) == recorder.suggest_int("other", 2, 4) == 2
    assert recorder.suggest_categorical("kind", ("a", "b")) == "b"
    assert recorder.suggest_categorical("steps", (8, 9)) == 8
    assert recorder.values == {"exact": 1.0, "steps": 7, "kind": "b"}
