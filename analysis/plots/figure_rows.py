"""Which criteria the figures of a category of interventions show, by the criteria's own facts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from analysis.labels import SHARES
from tracking.catalogue import CriterionFacts
from tracking.markup import file_stem

# The paper's figures of criteria in [0, 1], by the category of the interventions.
PAPER_FIGURES = {"editing": "figure2", "unlearning": "figure3"}


@dataclass(frozen=True)
class FigureRows:
    """The rows of one figure.

    Attributes:
        name: of the figure's file, without suffix.
        category: of the interventions that the figure is about.
        criteria: names, one per row.
    """

    name: str
    category: str
    criteria: list[str]


def figure_rows(
    criteria: Mapping[str, CriterionFacts], measured: Collection[str]
) -> Iterator[FigureRows]:
    """Yield the figures that can be drawn: first of criteria in [0, 1], then one per other unit.

    Args:
        criteria: facts by name, in the order of the rows.
        measured: names of the criteria that the runs have.
    """
    for category, name in PAPER_FIGURES.items():
        shares = [key for key in _of_category(criteria, category) if criteria[key].unit in SHARES]
        yield FigureRows(name, category, [key for key in shares if key in measured])
    general = [key for key, facts in criteria.items() if not facts.category and key in measured]
    units = dict.fromkeys(criteria[key].unit for key in general)
    stems = _file_stems(units)
    for unit in units:
        if unit in SHARES:
            continue
        rows = [key for key in general if criteria[key].unit == unit]
        for category in PAPER_FIGURES:
            yield FigureRows(f"{stems[unit]}-{category}", category, rows)


def _file_stems(units: Iterable[str]) -> dict[str, str]:
    """Return a part of a file's name for each unit; all are different."""
    stems: dict[str, str] = {}
    for unit in units:
        stem = file_stem(unit)
        stems[unit] = stem if stem not in stems.values() else f"{stem}-{len(stems) + 1}"
    return stems


def _of_category(criteria: Mapping[str, CriterionFacts], category: str) -> list[str]:
    """Return what measures the work of a category or any model; one criterion per group.

    A criterion whose group is another one's name is a part of that one, and is left out; of
    criteria that share a group of their own, the first one stands for all.
    """
    rows: list[str] = []
    groups: set[str] = set()
    for name, facts in criteria.items():
        is_part = facts.group in criteria and facts.group != name
        if facts.better == "neither" or facts.category not in ("", category) or is_part:
            continue
        if not facts.group or facts.group not in groups:
            rows.append(name)
        groups.add(facts.group)
    return rows
