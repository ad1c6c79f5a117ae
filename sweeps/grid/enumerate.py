"""Enumerate the compositions of a grid: every ordered choice of its interventions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from interventions.base import Intervention
from interventions.composition import Composition
from interventions.errors import InvalidInput, shown
from sweeps.grid.presets import PRESETS

# planning as many takes minutes, and running them months
MOST_COMPOSITIONS = 100_000


def preset_interventions(name: str) -> str:
    """Return the interventions of a preset, as text for ``interventions.specs.sweep``.

    Raises:
        InvalidInput: no preset has the name; lists them.

    Example:
        >>> preset_interventions("quick")
        'ft; ga; wanda(sparsity=[0.5, 0.75])'
    """
    if name not in PRESETS:
        raise InvalidInput(
            f"no preset is named {shown(name)}; known: {', '.join(PRESETS)} (one that tests a"
            " published finding is run by `composability grid --preset …`)"
        )
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
    marked_steps = [(step, _mark(step, pairs)) for step in steps]
    longest = len({mark for _, mark in marked_steps})
    compositions: list[Composition] = []
    for length in lengths:
        if length > longest:
            unit = "category" if pairs == "across" else "intervention"
            raise InvalidInput(
                f"no composition of {length} of these interventions: with pairs={pairs}, no two"
                f" steps of one {unit}; the longest has {longest}"
            )
        compositions += map(Composition, _ordered_choices(marked_steps, length))
    return compositions


def count_compositions(
    steps: Iterable[Intervention], lengths: Iterable[int], pairs: str = "across"
) -> int:
    """Return how many compositions ``enumerate_compositions`` makes, without making them.

    Of n steps that are all marked differently there are n! orders; which steps these are is chosen
    in as many ways as the elementary symmetric polynomial of degree n says of the marks' counts.

    Args:
        steps: as there.
        lengths: as there; one for which there is none counts 0.
        pairs: as there.

    Example:
        >>> from interventions.specs import sweep
        >>> count_compositions(sweep("ft; wanda(sparsity=[0.25, 0.5])"), [0, 1, 2])
        8
    """
    choices = [1]  # by length
    for count in Counter(_mark(step, pairs) for step in steps).values():
        longer = [0, *(count * fewer for fewer in choices)]
        choices = [sum(ways) for ways in zip([*choices, 0], longer, strict=True)]
    return sum(
        math.factorial(length) * choices[length] for length in lengths if length < len(choices)
    )


def check_job_count(compositions: int, seeds: int = 1, edit_batches: int = 1) -> None:
    """Refuse a grid that nobody could run, before anything of it is enumerated.

    Raises:
        InvalidInput: there are more than 100,000 jobs.
    """
    jobs = compositions * seeds * edit_batches
    if jobs > MOST_COMPOSITIONS:
        raise InvalidInput(
            f"a grid may have {MOST_COMPOSITIONS} runs, but this one has {shown(jobs)}:"
            f" {shown(compositions)} compositions x {seeds} seeds x {edit_batches} batches of edits"
        )


def _mark(step: Intervention, pairs: str) -> str:
    """Return what may be in a composition only once: the step's category, or its name."""
    return step.category if pairs == "across" else step.name


def _ordered_choices(
    marked_steps: Sequence[tuple[Intervention, str]], length: int
) -> Iterator[tuple[Intervention, ...]]:
    """Yield the choices in the order of ``itertools.permutations``, which cannot leave any out."""
    if length == 0:
        yield ()
        return
    marks = dict.fromkeys(mark for _, mark in marked_steps)
    differing = {mark: [pair for pair in marked_steps if pair[1] != mark] for mark in marks}
    for step, mark in marked_steps:
        for rest in _ordered_choices(differing[mark], length - 1):
            yield (step, *rest)


def check_apart(compositions: Iterable[Composition], edit_batches: Sequence[int]) -> None:
    """Check that no two runs of a composition write a common batch of edits.

    The analysis takes batches of edits for replicates, which such runs are not.

    Args:
        compositions: of a grid.
        edit_batches: with each of which all of them are run.

    Raises:
        InvalidInput: a composition writes batches after its own, into another run's.

    Example:
        >>> check_apart([Composition.parse("memit | memit(batch_offset=1)")], [0, 1])
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: edit_batches 0 and 1 are too near: ...
    """
    later = [
        step.batches_later
        for composition in compositions
        for step in composition.with_branches()
        if "edits" in step.reads
    ]
    span = max(later, default=0) + 1
    for first, second in pairwise(sorted(set(edit_batches))):
        if second - first < span:
            apart = ",".join(str(index * span) for index in range(len(set(edit_batches))))
            raise InvalidInput(
                f"edit_batches {first} and {second} are too near: a composition writes {span}"
                " batches from its own on, so that runs would share edits and be no replicates;"
                f" give edit_batches={shown(apart, 100)}"
            )
