"""The description of a finished run, as its page in MLflow shows it: the criteria by step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracking import schema
from tracking.links import charts_link
from tracking.markup import plain_markdown

if TYPE_CHECKING:
    from tracking.facts import CriterionFacts

BASE = "base model"
_BETTER, _WORSE = "▲", "▼"
_MOST_STEPS = 12  # columns of a table that a page can show
_MOST_CHARACTERS = 5000  # of a tag, as older servers have them
_GAP = "\N{NO-BREAK SPACE}" * 3  # MLflow's page puts no space between columns
_DIRECTIONS = {"higher": "↑", "lower": "↓"}
_LEGEND = (
    f"{_BETTER} better than the column before, {_WORSE} worse, as far as these digits show; ↑ ↓:"
    " which direction is better. One run, on one batch of edits."
)


def run_note(
    steps: Sequence[Mapping[str, Any]],
    facts: Mapping[str, CriterionFacts],
    experiment_id: str = "",
    pair: str = "",
) -> str:
    r"""Return the criteria by step as a table in Markdown, and a link to both orders of a pair.

    Args:
        steps: as criteria.json has them: ``{"intervention": spec, "criteria": {name: scores}}``.
        facts: of the criteria, in the order of the rows.
        experiment_id: where the run is.
        pair: "lora + wanda"; "" for no link.

    Returns:
        At most 5,000 characters; "" for more steps than a page can show.

    Example:
        >>> from tracking.facts import CriterionFacts
        >>> scores = [{"mmlu": {"value": 0.9}}, {"mmlu": {"value": 0.8}}]
        >>> names = [None, "rtn"]
        >>> steps = [{"intervention": n, "criteria": c} for n, c in zip(names, scores)]
        >>> note = run_note(steps, {"mmlu": CriterionFacts("higher", "share")})
        >>> for line in note.splitlines()[:3]:
        ...     print(line.replace("\N{NO-BREAK SPACE}", ""))
        | criterion | base model | rtn |
        | --- | ---: | ---: |
        | mmlu ↑ | 0.900 | 0.800 ▼ |
    """
    if len(steps) > _MOST_STEPS:
        return ""
    names = [f"{_GAP}{plain_markdown(step['intervention'] or BASE)}" for step in steps]
    rows = [["criterion", *names], ["---", *("---:" for _ in steps)]]
    for name, criterion in facts.items():
        values = [_value(step["criteria"].get(name)) for step in steps]
        arrow = _DIRECTIONS.get(criterion.better, "")
        cells = [f"{_GAP}{cell}" for cell in _cells(values, criterion.better)]
        rows.append([f"{plain_markdown(name)} {arrow}".strip(), *cells])
    first = []
    if pair:
        filter = f"params.{schema.PAIR} = '{pair}'"
        address = charts_link("", experiment_id, filter).removeprefix("/")
        first = [f"[Both orders of {plain_markdown(pair)} in charts]({address})\n"]
    lines = [*first, *(f"| {' | '.join(row)} |" for row in rows)]
    last = f"\n*{_LEGEND}*"
    while len("\n".join([*lines, last])) > _MOST_CHARACTERS:
        lines.pop()
    return "\n".join([*lines, last])


def _value(scores: Mapping[str, Any] | None) -> float:
    return float(scores["value"]) if scores else math.nan


def _cells(values: Sequence[float], better: str) -> list[str]:
    numbers = [_number(value) for value in values]
    cells = numbers[:1]
    for k in range(1, len(values)):
        mark = ""
        is_told = better in _DIRECTIONS and numbers[k] != numbers[k - 1]
        if is_told and not math.isnan(values[k]) and not math.isnan(values[k - 1]):
            rose = values[k] > values[k - 1]
            mark = f" {_BETTER if rose == (better == 'higher') else _WORSE}"
        cells.append(f"{numbers[k]}{mark}")
    return cells


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.1e}"
