"""The plans and checkpoints of a composition's branches: those of plain compositions."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from interventions.base import Intervention
from interventions.composition import Composition
from tracking.plan import Plan

if TYPE_CHECKING:
    from tracking.chain import Chain


def branch_keys(plan: Plan) -> list[str]:
    """Return the keys of the checkpoints that branches make on the way to a plan's last one."""
    applied = plan.composition.applications(plan.keys, plan.data)
    return [key for key, _ in applied if key not in plan.keys]


def branch_plan(
    plan: Plan, steps: Sequence[Intervention], keys: Sequence[str], branch: Composition
) -> Plan:
    """Return the plan of the plain composition that goes from some steps into a branch.

    Args:
        plan: of the composition with the branch.
        steps: before the branch.
        keys: of their checkpoints, the base model's first.
        branch: of the step after them.
    """
    keys_of_branch = branch.keys_after(keys[-1], plan.data)
    return dataclasses.replace(
        plan, composition=Composition([*steps, *branch]), keys=[*keys, *keys_of_branch]
    )


def warn_of_idle_steps(chain: Chain, first: int) -> None:
    """Warn of the steps of a branch that changed no weight: they add nothing to a merge.

    Args:
        chain: of the branch's plan, which has gone through it.
        first: the number of the branch's first step.
    """
    for k in range(first, len(chain.keys)):
        if not chain.facts_of_step(k).changed:
            spec = chain.steps[k - 1].spec(chain.plan.settings.profile)
            warnings.warn(f"{spec}, in a branch, changed no weight", stacklevel=3)
