"""The data of a run whose steps write several batches of edits, one after another."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Mapping

from interventions.data.base import Data, Edit, Prompt
from interventions.errors import InvalidInput, shown


def edit_sequence(batches: Mapping[int, Data]) -> Data:
    """Return the data of several batches as one: all edits, and locality that none of them touches.

    Editing is measured on the edits of all batches, whichever are written yet, and ``first_edits``
    are those of the first by itself. Locality prompts are those of all batches that name no edited
    subject, at most as many as the first batch has. All else is the first batch's.

    Args:
        batches: how many batches after the run's -> the data of that batch; at least one.

    Raises:
        InvalidInput: two batches give one prompt two targets, so that the later undoes the earlier.

    Example:
        >>> def data_of(subject: str) -> Data:
        ...     edit = Edit(subject, f"The home of {subject} is", "Rome", "Oslo", ())
        ...     return Data("own", (edit,), (Prompt("The friend of Annika is", "Bea"),))
        >>> data = edit_sequence({0: data_of("Ann"), 1: data_of("Cid")})
        >>> [edit.subject for edit in data.edits], len(data.locality)
        (['Ann', 'Cid'], 1)
        >>> data.with_batch(1).edits == data_of("Cid").edits
        True
    """
    ordered = dict(sorted(batches.items()))
    first = next(iter(ordered.values()))
    if len(ordered) == 1:
        return dataclasses.replace(first, edit_batches=tuple((k, first.edits) for k in ordered))
    _check_targets(ordered)
    return dataclasses.replace(
        first,
        edits=tuple(edit for data in ordered.values() for edit in data.edits),
        locality=_untouched(ordered)[: len(first.locality)],
        first_edits=first.edits,
        edit_batches=tuple((later, data.edits) for later, data in ordered.items()),
    )


def _check_targets(batches: Mapping[int, Data]) -> None:
    earlier: dict[str, tuple[int, Edit]] = {}
    for later, data in batches.items():
        for edit in data.edits:
            batch, known = earlier.setdefault(edit.prompt, (later, edit))
            if batch != later and known.target != edit.target:
                raise InvalidInput(
                    f"batches {batch} and {later} after the run's give {shown(edit.prompt, 90)} the"
                    f" targets {shown(known.target, 60)} and {shown(edit.target, 60)}: the later"
                    " would undo the earlier; leave one out"
                )


def _untouched(batches: Mapping[int, Data]) -> tuple[Prompt, ...]:
    """Return the locality prompts of all batches, each once, that name no edited subject."""
    subjects = {edit.subject for data in batches.values() for edit in data.edits}
    # a name within a longer one is another name
    named = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(subjects)))})(?!\w)")
    prompts = dict.fromkeys(prompt for data in batches.values() for prompt in data.locality)
    untouched = tuple(prompt for prompt in prompts if not named.search(prompt.prompt))
    if prompts and not untouched:
        warnings.warn(
            f"all {len(prompts)} locality prompts of the batches name a subject that is edited:"
            " locality is not measured",
            stacklevel=3,
        )
    return untouched
