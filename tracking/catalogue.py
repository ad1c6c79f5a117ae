"""Know interventions and criteria by their facts, without importing them: that would import torch.

A run says the facts of its own in two tags, so that a third party's are understood too. For runs
without these tags there are those of this project's own, see ``house_facts``.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from interventions.errors import InvalidInput
from tracking.facts import CriterionFacts, InterventionFacts
from tracking.house_facts import house_criteria, house_interventions, in_house_order

if TYPE_CHECKING:
    from interventions.base import Intervention
    from interventions.criteria.base import Criterion

__all__ = [
    "Catalogue",
    "CriterionFacts",
    "InterventionFacts",
    "as_tag",
    "facts_of_criteria",
    "facts_of_steps",
    "house_criteria",
    "house_interventions",
]

Facts = TypeVar("Facts", InterventionFacts, CriterionFacts)

_NEWER_FIELDS = ("title", "group", "judges", "category", "items")
ITEMS = ("nested", "crossed", "exact")
# what the tags of before there were the fields `group` and `level` mean, by strength
_LEGACY_GROUPS = {"sparsity": "pruning", "bits": "quantization"}
_LEGACY_LEVELS = {"sparsity": 0.25, "bits": 4.0}


def as_tag(facts: Mapping[str, InterventionFacts | CriterionFacts]) -> str:
    """Return the text of a run's tag, which ``Catalogue.from_runs`` reads back.

    Example:
        >>> as_tag({"mmlu": CriterionFacts("higher", "accuracy", chance=0.25)})[:50]
        '{"mmlu":{"better":"higher","unit":"accuracy","chan'
    """
    fields_of_name = {name: asdict(entry) for name, entry in facts.items()}
    return json.dumps(fields_of_name, separators=(",", ":"))


def facts_of_steps(steps: Iterable[Intervention]) -> dict[str, InterventionFacts]:
    """Return what a run says of its steps, by the intervention's name."""
    return {
        step.name: InterventionFacts(
            title=step.title,
            category=step.category,
            strength=step.strength,
            group=step.family,
            level=step.paper_level,
        )
        for step in steps
    }


def facts_of_criteria(criteria: Iterable[Criterion]) -> dict[str, CriterionFacts]:
    """Return what a run says of the criteria that it was judged by, by name."""
    return {
        criterion.name: CriterionFacts(
            better=criterion.better,
            unit=criterion.unit,
            chance=criterion.chance,
            title=criterion.title,
            group=criterion.group,
            judges=tuple(criterion.judges),
            category=criterion.category,
            items=criterion.items,
        )
        for criterion in criteria
    }


def facts_in_order(criteria: Iterable[Criterion]) -> dict[str, CriterionFacts]:
    """Return the facts of criteria by name: this project's in its tables' order, then others'."""
    facts = facts_of_criteria(criteria)
    return {name: facts[name] for name in in_house_order(facts)}


@dataclass(frozen=True)
class Catalogue:
    """The facts of every intervention and criterion that some runs name.

    Attributes:
        interventions: facts by name; this project's own if nothing else is given.
        criteria: likewise.
    """

    interventions: Mapping[str, InterventionFacts] = field(default_factory=house_interventions)
    criteria: Mapping[str, CriterionFacts] = field(default_factory=house_criteria)

    @classmethod
    def from_runs(cls, runs: pd.DataFrame) -> Catalogue:
        """Return this project's own facts, and on top of them what the runs say.

        Args:
            runs: rows of ``compositions``, newest first; their columns ``about_interventions``
                and ``about_criteria`` are read. A newer run's wording (title, unit) is preferred.

        Raises:
            InvalidInput: two runs contradict each other on a direction, a category or a strength.
        """
        interventions, criteria = (_stated(runs, column) for column in _READERS)
        return cls(house_interventions() | interventions, house_criteria() | criteria)


def is_readable(runs: pd.DataFrame) -> pd.Series:
    """Return for each run whether its tags with facts can be read; runs without them can.

    Args:
        runs: rows of ``compositions``.
    """
    readable = pd.Series(True, index=runs.index)
    for column, read in _READERS.items():
        if column in runs:
            facts = {text: _read_tag(text, read) for text in runs[column].dropna().unique()}
            unreadable = [text for text, read_facts in facts.items() if read_facts is None]
            readable &= ~runs[column].isin(unreadable)
    return readable


def _read_tag(text: Any, read: Any) -> dict[str, Any] | None:
    """Return the facts by name that a tag's text says; None if it is not such a text."""
    try:
        facts = {name: read(name, fields) for name, fields in json.loads(text).items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return facts if all(map(_is_valid, facts.values())) else None


def _is_valid(facts: InterventionFacts | CriterionFacts) -> bool:
    """Return whether the values are of their fields' types."""
    if isinstance(facts, CriterionFacts):
        texts = [facts.unit, facts.title, facts.group, facts.category, *facts.judges]
        number = facts.chance
        is_known = facts.better in ("higher", "lower", "neither") and facts.items in ITEMS
    else:
        texts = [facts.title, facts.category, facts.strength or "", facts.group]
        number, is_known = facts.level, True
    is_number = number is None or (isinstance(number, int | float) and math.isfinite(number))
    return is_known and is_number and all(isinstance(text, str) for text in texts)


def _stated(runs: pd.DataFrame, column: str) -> dict[str, Any]:
    texts = runs[column].dropna().unique() if column in runs else ()
    stated: dict[str, Any] = {}
    for text in texts:
        for name, facts in (_read_tag(text, _READERS[column]) or {}).items():
            newer = stated.setdefault(name, facts)
            if _meaning(newer) != _meaning(facts):
                raise InvalidInput(
                    f"runs contradict each other on {name}: {newer} and {facts}; analyse them apart"
                )
    return stated


def _meaning(facts: InterventionFacts | CriterionFacts) -> tuple[str | None, ...]:
    if isinstance(facts, CriterionFacts):
        return (facts.better,)
    return (facts.category, facts.strength)


def _intervention_facts(name: str, fields: Mapping[str, Any]) -> InterventionFacts:
    strength = fields.get("strength") or ""
    legacy = {
        "group": _LEGACY_GROUPS.get(strength, fields["category"]),
        "level": _LEGACY_LEVELS.get(strength),
    }
    facts = {**legacy, **_known(fields, InterventionFacts)}
    return InterventionFacts(**{**facts, "group": facts["group"] or legacy["group"]})


def _criterion_facts(name: str, fields: Mapping[str, Any]) -> CriterionFacts:
    # tags of before lack the newer fields; those of this project's criteria are known
    house = house_criteria().get(name)
    newer: dict[str, Any] = {}
    if house and house.better == fields["better"]:
        newer = {key: getattr(house, key) for key in _NEWER_FIELDS}
    elif "items" not in fields:
        # what judges edits is measured on edits, another batch of which is others
        newer = {"items": "nested" if fields.get("category") == "editing" else "crossed"}
    facts = {**newer, **_known(fields, CriterionFacts)}
    return CriterionFacts(**{**facts, "judges": tuple(facts.get("judges", ()))})


def _known(
    fields: Mapping[str, Any], facts: type[InterventionFacts] | type[CriterionFacts]
) -> dict[str, Any]:
    """Return the fields that this version knows; a later one's tags may have more."""
    return {name: fields[name] for name in _FIELDS[facts] if name in fields}


_FIELDS = {
    facts: [entry.name for entry in dataclasses.fields(facts)]
    for facts in (InterventionFacts, CriterionFacts)
}
_READERS = {"about_interventions": _intervention_facts, "about_criteria": _criterion_facts}
