"""Enumerate the compositions of a grid: every ordered choice of its interventions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from interventions.base import Intervention
from interventions.composition import Composition
from interventions.errors import InvalidInput
from sweeps.grid.presets import PRESETS


def preset_interventions(name: str) -> str:
    """Return the interventions of a preset, as text for ``interventions.specs.sweep``.

    Raises:
        InvalidInput: no preset has the name; lists them.

    Example:
        >>> preset_interventions("quick")
        'ft; ga; wanda(sparsity=[0.5, 0.75])'
    """
    if name not in PRESETS:
        raise InvalidInput(f"no preset is named {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]


def enumerate_compositions(
    steps: Sequence[Intervention], lengths: Iterable[int], pairs: str = "across"
) -> list[Composition]:
    """Return every ordered choice of interventions, one length after another.

    Args:
        steps: the interventions to choose from.
        lengths: numbers of steps; 0 is the base model.
        pairs: "across": no two steps of one category, as in the paper; "all": no two steps of one
            intervention.

    Raises:
        InvalidInput: no composition of one of the lengths can be made.

    Example:
        >>> from interventions.specs import sweep
        >>> steps = sweep("ft; wanda(sparsity=[0.25, 0.5])")
        >>> [len(enumerate_compositions(steps, [length])) for length in (0, 1, 2)]
        [1, 3, 4]
    """
    compositions: list[Composition] = []
    for length in lengths:
        ordered_choices = [
            Composition(chosen)
            for chosen in itertools.permutations(steps, length)
            if len(_marks(chosen, pairs)) == length
        ]
        if not ordered_choices:
            unit = "category" if pairs == "across" else "intervention"
            raise InvalidInput(
                f"no composition of {length} of these interventions: with pairs={pairs}, no two"
                f" steps of one {unit}; the longest has {len(_marks(steps, pairs))}"
            )
        compositions += ordered_choices
    return compositions


def _marks(steps: Iterable[Intervention], pairs: str) -> set[str]:
    """Return what may be in a composition only once: the steps' categories, or their names."""
    return {step.category if pairs == "across" else step.name for step in steps}
