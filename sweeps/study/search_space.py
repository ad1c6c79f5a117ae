"""What a study tries: a composition with values from the paper's grid or from ``suggest``."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

from interventions.base import INTERVENTIONS, Intervention, make
from interventions.composition import Composition
from interventions.errors import InvalidInput, one_of, shown
from interventions.hyperparameters import default_value, fields_of
from interventions.search_space import Trial, TuningContext
from interventions.specs import calls
from sweeps.study.options import MOST_TRIALS, SPACES
from sweeps.study.paper_grid import TunedStep, step_on_grid
from sweeps.study.suggestions import DefaultRecorder, RangeRecorder, StepTrial


class Space:
    """The compositions that a study may try.

    Attributes:
        name: "default" or "paper".
        tuning_context: the model, the data and whose defaults the steps have.
        steps: of the composition, in order.
        tuned: parameter -> its range, in words.
    """

    def __init__(self, text: str, name: str, tuning_context: TuningContext) -> None:
        """Read a composition.

        Args:
            text: ``"rmu"`` or ``"lora | wanda(sparsity=0.5)"``; values that it has are not tuned.
            name: "default" (what the interventions suggest) or "paper" (its grids).
            tuning_context: the model and the data that the values are to fit.

        Raises:
            InvalidInput: the text or the name is not valid; nothing is left to tune; or a value
                does not fit the model.
        """
        self.name, self.tuning_context = one_of("space", name, SPACES), tuning_context
        self.steps = tuple(self._read_steps(text))
        recorder = RangeRecorder()
        for step in self.composition(recorder):
            step.check(tuning_context.model)
            step.check_texts(tuning_context.data)
        self.tuned = recorder.ranges
        if not self.tuned:
            raise InvalidInput(
                f"nothing is left to tune in {shown(text)} with space={name}: every value is given"
            )

    def _read_steps(self, text: str) -> list[TunedStep]:
        named_calls = calls(text)
        if not named_calls:
            raise InvalidInput(
                "give an intervention to tune, such as rmu or 'lora | wanda', but got"
                f" {shown(text)}"
            )
        steps = []
        uses = Counter[str]()
        for name, fixed in named_calls:
            # unknown names and values out of range are reported before all else
            make(name, self.tuning_context.profile, **fixed)
            uses[name] += 1
            label = name if uses[name] == 1 else f"{name}_{uses[name]}"
            cls = INTERVENTIONS.get(name)
            if self.name == "paper":
                steps.append(step_on_grid(label, cls, fixed, self.tuning_context))
            else:
                steps.append(TunedStep(label, cls, fixed))
        return steps

    @property
    def left_out(self) -> list[str]:
        """The values of the paper's grid that do not fit this model and these data, in words."""
        return [line for step in self.steps for line in step.left_out]

    def composition(self, trial: Trial) -> Composition:
        """Return the composition that a trial tries."""
        return Composition(
            self._intervention(step, StepTrial(trial, step.label, step.fixed))
            for step in self.steps
        )

    def defaults(self) -> dict[str, Any]:
        """Return the default of every tuned parameter that has one within its range."""
        values: dict[str, Any] = {}
        for step in self.steps:
            defaults: dict[str, Any] = {}
            for name, field in fields_of(step.cls).items():
                default = default_value(field, self.tuning_context.profile)
                default = step.cls.none_means.get(name) if default is None else default
                defaults[f"{step.label}.{name}"] = default
                if isinstance(default, tuple) and default:  # as ``consecutive`` asks for layers
                    defaults[f"{step.label}.{name}.last"] = default[-1]
                    defaults[f"{step.label}.{name}.count"] = len(default)
            recorder = DefaultRecorder(defaults)
            self._tried(step, StepTrial(recorder, step.label, step.fixed))
            values |= recorder.values
        return values

    def is_tuned(self, step_index: int) -> bool:
        """Return whether any hyperparameter of a step is tuned; the first step is 0."""
        prefix = f"{self.steps[step_index].label}."
        return any(name.startswith(prefix) for name in self.tuned)

    def points(self) -> list[dict[str, Any]]:
        """Return every point of the grid, as parameter -> value.

        Raises:
            InvalidInput: the space is no grid.
        """
        if self.name != "paper":
            raise InvalidInput(
                f"sampler=grid needs space=paper: space={self.name} is continuous;"
                " or use sampler=tpe"
            )
        count = math.prod(len(values) for step in self.steps for values in step.grid.values())
        if count > MOST_TRIALS:
            raise InvalidInput(
                f"a grid may have {MOST_TRIALS} points, but this one has {shown(count)}:"
                " give values for some hyperparameters, or use sampler=tpe"
            )
        axes = {
            f"{step.label}.{key}": values
            for step in self.steps
            for key, values in step.grid.items()
        }
        return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]

    def _intervention(self, step: TunedStep, trial: StepTrial) -> Intervention:
        return make(
            step.cls.name, self.tuning_context.profile, **{**self._tried(step, trial), **step.fixed}
        )

    def _tried(self, step: TunedStep, trial: StepTrial) -> dict[str, Any]:
        """Return the values that a trial has for a step's hyperparameters."""
        if self.name == "paper":
            return {
                key: trial.suggest_categorical(key, tuple(values))
                for key, values in step.grid.items()
            }
        if all(key in step.fixed for key in fields_of(step.cls)):
            return {}  # nothing to ask for: the intervention need not be able to suggest
        return step.cls.suggest(trial, self.tuning_context)
