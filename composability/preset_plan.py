"""What a grid's preset would take: each intervention, and all of the preset's compositions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interventions.composition import Composition
from interventions.options import PRESET
from interventions.specs import sweep
from sweeps.grid.enumerate import enumerate_compositions, preset_interventions
from sweeps.grid.presets import RECOMPRESS
from tracking.costs.planned import RunPlan
from tracking.costs.planning import plan_of
from tracking.plan import Plan, RunContext
from tracking.settings import Settings, defaults_profile

_LENGTHS = range(3)  # as `composability grid` has them by default


@dataclass(frozen=True)
class PresetPlan:
    """What a preset would take; printed, a table and a line on the whole.

    Attributes:
        name: of the preset.
        planned: each of its interventions, on the base model.
        compositions: how many runs there are.
        applications: how often an intervention is applied where prefixes are shared.
        recompressions: how many compressions are applied again, at most.
        seconds: of all that, one after another, with the measurements.
    """

    name: str
    planned: RunPlan
    compositions: int
    applications: int
    recompressions: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.planned}\n\n{self.name}: {self.compositions} runs with shared prefixes:"
            f" {self.applications} applications and up to {self.recompressions} recompressions,"
            f" about {self.seconds / 3600:.1f} hours one after another"
        )


def plan_preset(name: str, settings: dict[str, Any], device_gib: float = 0.0) -> PresetPlan:
    """Return what a preset would take.

    Args:
        name: of the preset.
        settings: of the runs, by name.
        device_gib: memory of the device, where it is another machine's; 0: of the one here.

    Raises:
        InvalidInput: no preset has the name, or its runs would be refused.
    """
    requested = Settings(**settings)
    if requested.recompress == PRESET:
        requested = dataclasses.replace(requested, recompress=RECOMPRESS.get(name, "auto"))
    steps = sweep(preset_interventions(name), defaults_profile(requested.data))
    context = RunContext(requested, remote=True)
    plans = [context.plan(steps_of) for steps_of in enumerate_compositions(steps, _LENGTHS)]
    # all in one row: each is rehearsed on the same model
    alone = dataclasses.replace(requested, recompress="never")
    planned = plan_of(Composition(steps), alone, device_gib)
    planned = dataclasses.replace(planned, composition=name)
    seconds_of = {
        str(step): step_plan.seconds or 0.0
        for step, step_plan in zip(steps, planned.steps[1:], strict=True)
    }
    applied = {
        key: str(step)
        for plan in plans
        for key, step in zip(plan.keys[1:], plan.composition, strict=True)
    }
    again = applied_again(plans)
    seconds = sum(seconds_of[spec] for spec in (*applied.values(), *again))
    seconds += planned.steps[0].seconds or 0.0
    return PresetPlan(name, planned, len(plans), len(applied), len(again), seconds)


def applied_again(plans: Sequence[Plan]) -> list[str]:
    """Return the compressions that may be applied again at the end, by the policy of the runs.

    Args:
        plans: of the runs.

    Returns:
        The specs of those that a step of another kind follows.
    """
    again: list[str] = []
    for plan in plans:
        policy = plan.settings.recompress
        for index, step in enumerate(plan.composition):
            followed = any(
                later.category != "compression" for later in plan.composition[index + 1 :]
            )
            in_paper = policy != "paper" or step.recompressed_in_paper
            if step.category == "compression" and followed and in_paper and policy != "never":
                again.append(str(step))
    return again
