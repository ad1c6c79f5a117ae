"""The paper's grids (Tables 5-7), as far as they fit the model and the data of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interventions.base import INTERVENTIONS, Intervention, make
from interventions.errors import InvalidInput
from interventions.search_space import TuningContext


@dataclass(frozen=True)
class TunedStep:
    """One step of the composition that a study tunes.

    Attributes:
        label: the prefix of its parameters, as in a run's params: ``wanda``, ``wanda_2``, …
        cls: the intervention.
        fixed: hyperparameter -> value, of those that are not tuned.
        grid: hyperparameter -> the paper's values that fit; empty in the space "default".
        left_out: in words, the paper's values that do not fit.
    """

    label: str
    cls: type[Intervention]
    fixed: Mapping[str, Any]
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def step_on_grid(
    label: str, cls: type[Intervention], fixed: Mapping[str, Any], tuning_context: TuningContext
) -> TunedStep:
    """Return a step with the paper's values that fit.

    A step that the paper did not search stays as its fixed values say.

    Raises:
        InvalidInput: the paper did not search the step, and nothing of it is fixed; or none of the
            paper's values fits.
    """
    if not cls.grid:
        if fixed:
            return TunedStep(label, cls, fixed)
        raise InvalidInput(_no_grid(cls, tuning_context))
    grid: dict[str, list[Any]] = {}
    left_out = []
    for key, values in cls.grid.items():
        if key in fixed:
            continue
        misfits: dict[Any, str] = {}
        for value in values:
            reason = _misfit(cls, {**fixed, key: value}, key, tuning_context)
            if reason:
                misfits[value] = reason
        grid[key] = [value for value in values if value not in misfits]
        if misfits:
            shown = ", ".join(f"{value:g}" for value in misfits)
            *_, last_reason = misfits.values()
            left_out.append(
                f"{label}.{key}: {len(misfits)} of {len(values)} left out ({shown}): {last_reason}"
            )
        if not grid[key]:
            raise InvalidInput(f"no value of the paper's grid fits: {left_out[-1]}")
    return TunedStep(label, cls, fixed, grid, tuple(left_out))


def _no_grid(cls: type[Intervention], tuning_context: TuningContext) -> str:
    searched = ", ".join(name for name, known in INTERVENTIONS.all().items() if known.grid)
    spec = make(cls.name, tuning_context.profile).spec(tuning_context.profile)
    return (
        f"the paper has no grid for {cls.name}, only for {searched}: use space=default, or give its"
        f" hyperparameters, as in {spec}(…), to keep it as it is"
    )


def _misfit(
    cls: type[Intervention], values: Mapping[str, Any], key: str, tuning_context: TuningContext
) -> str:
    """Return why the value of ``key`` does not fit the model or the data; "" if it does."""
    try:
        make(cls.name, tuning_context.profile, **values).check(tuning_context.model)
    except InvalidInput as error:
        return str(error)
    part = cls.texts.get(key)
    if part and values[key] > tuning_context.texts(part):
        return f"there are {tuning_context.texts(part)} texts to {part}"
    return ""
