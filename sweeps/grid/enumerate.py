"""What a grid runs: interventions, and the compositions that can be made of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from interventions.base import Intervention
from interventions.composition import Composition
from interventions.errors import InvalidInput

PAIRS = ("across", "all")
_MOST = 10_000  # of anything that is counted

PRESETS = {
    # Kolbeinsson et al. 2025, section 3.1 and Tables 8-14: 1 base, 28 single, 282 composed
    "paper": (
        "ft; memit; lora; wanda(sparsity=[0.25, 0.35, 0.45, 0.55, 0.65, 0.75]);"
        " sparsegpt(sparsity=[0.25, 0.35, 0.45, 0.55, 0.65, 0.75]); gptq(bits=[2, 3, 4, 8]);"
        " awq(bits=[2, 3, 4, 5, 6, 8]); ga; gd; rmu"
    ),
    "quick": "ft; ga; wanda(sparsity=[0.5, 0.75])",
}


def preset(name: str) -> str:
    """The interventions of a preset; raises InvalidInput."""
    if name not in PRESETS:
        raise InvalidInput(f"no preset is named {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]


def pairs(name: str) -> str:
    """Which steps may stand together; raises InvalidInput."""
    if name not in PAIRS:
        raise InvalidInput(f"pairs must be {' or '.join(PAIRS)}, but got {name!r}")
    return name


def compositions(
    steps: Sequence[Intervention], lengths: Iterable[int], which: str = "across"
) -> list[Composition]:
    """Every ordered choice of so many steps.

    Args:
        steps: to choose from.
        lengths: numbers of steps; 0 is the base model.
        which: "across": no two steps of one category, as in the paper; "all": no two of one intervention.

    Raises:
        InvalidInput: nothing of that length can be made.
    """
    found: list[Composition] = []
    for length in lengths:
        some = [
            Composition(chosen)
            for chosen in itertools.permutations(steps, length)
            if _differ(chosen, which)
        ]
        if not some:
            raise InvalidInput(
                f"no composition of {length} of these interventions: with pairs={which}, no two steps of one"
                f" {'category' if which == 'across' else 'intervention'}; the longest has {_longest(steps, which)}"
            )
        found += some
    return found


def _longest(steps: Sequence[Intervention], which: str) -> int:
    return len({step.category if which == "across" else step.name for step in steps})


def _differ(chosen: Sequence[Intervention], which: str) -> bool:
    marks = [step.category if which == "across" else step.name for step in chosen]
    return len(set(marks)) == len(marks)


def numbers(text: str, what: str, least: int = 0) -> list[int]:
    """Read ``"2"`` or ``"0..2"``: a number, or a range with both its ends.

    Raises:
        InvalidInput: something else, or a number below ``least``.
    """
    first, dots, last = text.partition("..")
    try:
        found = range(int(first), int(last if dots else first) + 1)
    except ValueError:
        found = range(0)
    if not found or found[0] < least or found[-1] > _MOST:
        raise InvalidInput(
            f"{what} must be a number or a range such as {least}..{least + 2}, up to {_MOST}, but got {text!r}"
        )
    return list(found)


def counted(text: str, what: str) -> list[int]:
    """Read ``"3"`` as the first three (0, 1, 2), or ``"0,4"`` as these.

    Raises:
        InvalidInput: something else, or nothing.
    """
    try:
        given = [int(part) for part in text.split(",")]
    except ValueError:
        given = []
    found = given if "," in text else list(range(min(given[0], _MOST + 1))) if given else []
    if not 0 < len(found) <= _MOST or min(found) < 0 or len(set(found)) < len(found):
        raise InvalidInput(
            f"{what} must be how many (3, up to {_MOST}) or which (0,4), each once, but got {text!r}"
        )
    return found


def switch(name: str, text: str) -> bool:
    """Read ``"true"`` or ``"false"``; raises InvalidInput."""
    if text.lower() not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false, but got {text!r}")
    return text.lower() == "true"
