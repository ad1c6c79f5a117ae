"""Branches of a merge, read from texts."""

from __future__ import annotations

from typing import Any

from interventions.composition import Composition
from interventions.errors import InvalidInput, shown

MOST_BRANCHES = 10  # whose models are in memory together


def read_branches(branches: Any, profile: str) -> tuple[Composition, ...]:
    """Return branches as compositions.

    Args:
        branches: texts, or compositions.
        profile: whose defaults the steps of texts have.

    Raises:
        InvalidInput: they are something else, too few or too many, or one has no step.
    """
    several = isinstance(branches, tuple | list) and not isinstance(branches, Composition)
    if not several or not all(isinstance(branch, str | Composition) for branch in branches):
        raise InvalidInput(
            "merge.branches must be two or more compositions, such as merge(lora | ft, rmu), but"
            f" got {shown(branches, 100)}"
        )
    if not 2 <= len(branches) <= MOST_BRANCHES:
        raise InvalidInput(
            f"merge.branches must be 2 to {MOST_BRANCHES} compositions, such as"
            f" merge(lora | ft, rmu), but got {len(branches)}: {shown(tuple(branches), 100)}"
        )
    return tuple(_read_branch(branch, profile) for branch in branches)


def _read_branch(branch: Composition | str, profile: str) -> Composition:
    try:
        steps = branch if isinstance(branch, Composition) else Composition.parse(branch, profile)
    except InvalidInput as error:
        raise InvalidInput(f"merge.branches, in {shown(branch, 60)}: {error}") from error
    if not steps:
        raise InvalidInput(
            f"merge.branches must be compositions of at least one step, but got {shown(branch, 60)}"
        )
    return steps
