"""What a run found, as the terminal shows it."""

from __future__ import annotations

import math
import shlex
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tracking.text_table import text_table

if TYPE_CHECKING:
    from tracking.facts import CriterionFacts
    from tracking.run_summary import RunSummary

_BETTER, _WORSE = "▲", "▼"
_LEGEND = f"{_BETTER} better than the row above, {_WORSE} worse, as far as these digits show"
_CAUTION = "one run, on one batch of edits: what holds over batches, `composability analyze` tests"
_ALL_CACHED = "nothing was computed: every step and every score came from the cache"
_LEAST_GAIN = 0.02  # of a share: of less it is not said how much is left
_KEPT, _LOST = 0.9, 0.5  # shares of a gain that is left: at least, and less than
_NARROWEST = 60  # characters
_COMMAND = "composability run"
# categories that put something into a model or take it out; a compression only costs
_WORK = {"editing": "the edit", "unlearning": "the unlearning"}


def run_text(summary: RunSummary, width: int | None = None, options: str = "") -> str:
    """Return a run's table, what became of each step, and its other orders.

    Args:
        summary: of the run.
        width: characters of a line; the terminal's by default.
        options: of the command that ran it, for the command that runs its other order.
    """
    width = max(_NARROWEST, width or shutil.get_terminal_size((100, 24)).columns)
    blocks = [run_table(summary, width)]
    if len(summary.steps) > 1:
        blocks.append(_LEGEND)
    sentences = [*fates(summary), *order_sentences(summary, options)]
    sentences += [_CAUTION] if len(summary.steps) > 2 else []
    sentences += [_ALL_CACHED] if summary.is_all_cached else []
    blocks += [
        # a command is to be copied as one line
        sentence if _COMMAND in sentence else textwrap.fill(sentence, width, subsequent_indent="  ")
        for sentence in sentences
    ]
    return "\n".join(blocks)


def run_table(summary: RunSummary, width: int) -> str:
    """Return the criteria by step: a row for the base model and each step, changes marked.

    Criteria that do not fit into the width stand below, under the same rows.
    """
    names = [step.name for step in summary.steps]
    first_column = ["", *names]
    columns = []
    for name, facts in summary.criteria.items():
        values = [step.values.get(name, math.nan) for step in summary.steps]
        columns.append([name, *_cells(values, facts)])
    tables, rest = [], columns
    while rest:
        fitting = _fitting(first_column, rest, width)
        tables.append(text_table(list(zip(first_column, *rest[:fitting], strict=True))))
        rest = rest[fitting:]
    return "\n\n".join(tables)


def fates(summary: RunSummary) -> list[str]:
    """Return a sentence on each step that others came after: what is left of what it did.

    It is said by the criterion that the step's category is judged by first: edit_success of an
    edit.
    """
    sentences = []
    for k, category in enumerate(summary.categories[:-1], start=1):
        name = _judging(summary.criteria, category)
        before, after, end = (
            summary.steps[step].values.get(name, math.nan) for step in (k - 1, k, -1)
        )
        if math.isnan(after) or math.isnan(end):
            continue
        later = " and ".join(step.name for step in summary.steps[k + 1 :])
        numbers = f"{name} {_number(after)} → {_number(end)}"
        if category not in _WORK:
            sentences.append(f"{summary.steps[k].name}, then {later}: {numbers}")
            continue
        sign = 1 if summary.criteria[name].better == "higher" else -1
        fate = _fate(sign * (after - before), sign * (end - before))
        sentences.append(fate.format(work=_WORK[category], later=later, numbers=numbers))
    return sentences


def order_sentences(summary: RunSummary, options: str = "") -> list[str]:
    """Return a line on each other order that has run, or how to run a pair's.

    Args:
        summary: of the run.
        options: of the command that ran it.
    """
    sentences = []
    judging = {_judging(summary.criteria, category): None for category in summary.categories}
    final = summary.steps[-1].values
    for other in summary.others:
        numbers = [
            f"{name} {_number(other.values[name])} against {_number(final[name])} here"
            for name in judging
            if name in other.values and name in final
        ]
        comparison = ", ".join(numbers) or "without a criterion in common"
        sentences.append(f"other order, {other.composition} (run {other.run_id}): {comparison}")
    if summary.reversed_composition and not summary.others:
        steps = _quoted(summary.reversed_composition)
        command = " ".join(filter(None, (_COMMAND, steps, options)))
        sentences.append(f"the other order has not run with these settings: {command}")
    return sentences


def _fate(gain: float, left: float) -> str:
    """Return a sentence, to be filled in, on what is left of a step's gain."""
    if not (math.isfinite(gain) and math.isfinite(left)) or gain < _LEAST_GAIN:
        return "{work} had gained nothing that {later} could take: {numbers}"
    share = round(left / gain, 3)  # 0.72 of 0.8 is 0.9
    is_left = f"{{numbers}}, {share:.0%} of its gain is left"
    if share < _LOST:
        return f"{{work}} did not survive {{later}}: {is_left}"
    return f"{{work}} survived {{later}}{'' if share >= _KEPT else ' in part'}: {is_left}"


def _judging(criteria: Mapping[str, CriterionFacts], category: str) -> str:
    """Return the criterion that says most about a category's steps; "" if none was measured."""
    # one of a group is a part of what another measures, or its price, as locality is
    judging = [n for n, facts in criteria.items() if category in facts.judges and not facts.group]
    # of a compression, what any model can do: its own criteria say how small the model is
    wanted = category if category in _WORK else ""
    own = [name for name in judging if criteria[name].category == wanted]
    return next(iter(own or judging), "")


def _cells(values: Sequence[float], facts: CriterionFacts) -> list[str]:
    cells = [_number(value) for value in values]
    marked = cells[:1]
    for k in range(1, len(values)):
        is_told = facts.better in ("higher", "lower") and cells[k] != cells[k - 1]
        if not is_told or math.isnan(values[k]) or math.isnan(values[k - 1]):
            marked.append(f"{cells[k]} ")
            continue
        rose = values[k] > values[k - 1]
        marked.append(f"{cells[k]}{_BETTER if rose == (facts.better == 'higher') else _WORSE}")
    return [f"{cell} " if i == 0 else cell for i, cell in enumerate(marked)]


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if abs(value) < 1e4 else f"{value:.1e}"


def _fitting(first: Sequence[str], columns: Sequence[Sequence[str]], width: int) -> int:
    """Return how many columns fit beside the first, one at least."""
    used = max(map(len, first))
    for count, column in enumerate(columns):
        used += 2 + max(map(len, column))
        if used > width:
            return max(1, count)
    return len(columns)


def _quoted(steps: str) -> str:
    """Return steps as a shell reads them, in double quotes where these do: steps have single ones.

    Example:
        >>> print(_quoted("ft(average='edits') | rtn"))
        "ft(average='edits') | rtn"
        >>> print(_quoted("adapter | rtn(bits=$a)"))
        'adapter | rtn(bits=$a)'
    """
    return shlex.quote(steps) if set(steps) & set('"$`\\!') else f'"{steps}"'
