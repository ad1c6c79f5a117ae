"""What an analysis must know of interventions and criteria, without importing them: that would import torch.

Runs say it themselves, in two tags, so that a third party's are understood too. For runs without these tags there
are the house's own below; a test compares them with the registries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from interventions.errors import InvalidInput

if TYPE_CHECKING:
    from interventions.base import Intervention
    from interventions.criteria.base import Criterion


@dataclass(frozen=True)
class InterventionFacts:
    """An intervention's name as it is printed, its category, and the field that a sweep turns, if there is one."""

    title: str
    category: str
    strength: str | None = None


@dataclass(frozen=True)
class CriterionFacts:
    """Which direction of a criterion is good ("higher", "lower", "neither"), its unit, and what guessing gets."""

    better: str
    unit: str
    chance: float | None = None


INTERVENTIONS = {
    "ft": InterventionFacts("FT", "editing"),
    "memit": InterventionFacts("MEMIT", "editing"),
    "lora": InterventionFacts("LoRA", "editing"),
    "wanda": InterventionFacts("Wanda", "compression", "sparsity"),
    "sparsegpt": InterventionFacts("SparseGPT", "compression", "sparsity"),
    "magnitude": InterventionFacts("Magnitude", "compression", "sparsity"),
    "awq": InterventionFacts("AWQ", "compression", "bits"),
    "gptq": InterventionFacts("GPTQ", "compression", "bits"),
    "rtn": InterventionFacts("RTN", "compression", "bits"),
    "ga": InterventionFacts("GA", "unlearning"),
    "gd": InterventionFacts("GD", "unlearning"),
    "rmu": InterventionFacts("RMU", "unlearning"),
}

CRITERIA = {
    "edit_success": CriterionFacts("higher", "F1"),
    "edit_generalization": CriterionFacts("higher", "F1"),
    "edit_locality": CriterionFacts("higher", "F1"),
    "edit_preservation": CriterionFacts("higher", "share"),
    "wmdp": CriterionFacts("lower", "accuracy", chance=0.25),
    "wmdp_bio": CriterionFacts("lower", "accuracy", chance=0.25),
    "wmdp_cyber": CriterionFacts("lower", "accuracy", chance=0.25),
    "mmlu": CriterionFacts("higher", "accuracy", chance=0.25),
    "wikitext_ppl": CriterionFacts("lower", "perplexity"),
    "average_bits": CriterionFacts("lower", "bits per weight"),
    "sparsity": CriterionFacts("neither", "share"),
}


def as_tag(facts: Mapping[str, InterventionFacts | CriterionFacts]) -> str:
    """A tag's text, which `Catalogue.of` reads back."""
    return json.dumps({name: asdict(one) for name, one in facts.items()})


def of_steps(steps: Iterable[Intervention]) -> dict[str, InterventionFacts]:
    """What a run says of its steps."""
    return {
        step.name: InterventionFacts(type(step).__name__, step.category, step.strength)
        for step in steps
    }


def of_criteria(criteria: Iterable[Criterion]) -> dict[str, CriterionFacts]:
    """What a run says of its criteria; what guessing gets is known of the house's own only."""
    chance = {name: facts.chance for name, facts in CRITERIA.items()}
    return {
        one.name: CriterionFacts(one.better, one.unit, chance.get(one.name)) for one in criteria
    }


@dataclass(frozen=True)
class Catalogue:
    """Name to facts."""

    interventions: Mapping[str, InterventionFacts] = field(
        default_factory=lambda: dict(INTERVENTIONS)
    )
    criteria: Mapping[str, CriterionFacts] = field(default_factory=lambda: dict(CRITERIA))

    @classmethod
    def of(cls, runs: pd.DataFrame) -> Catalogue:
        """The house's own, and what the runs' columns ``about_interventions`` and ``about_criteria`` say.

        Runs come newest first; a newer run's wording (title, unit) goes before an older one's.

        Raises:
            InvalidInput: two runs contradict each other on a direction, a category or a strength.
        """
        interventions, criteria = dict(INTERVENTIONS), dict(CRITERIA)
        _read(runs, "about_interventions", InterventionFacts, interventions)
        _read(runs, "about_criteria", CriterionFacts, criteria)
        return cls(interventions, criteria)


def _read(runs: pd.DataFrame, column: str, make: Any, known: dict[str, Any]) -> None:
    texts = runs[column].dropna().unique() if column in runs else ()
    said: dict[str, Any] = {}
    for text in texts:
        for name, fields in json.loads(text).items():
            facts = make(**fields)
            if _meaning(said.setdefault(name, facts)) != _meaning(facts):
                raise InvalidInput(
                    f"runs contradict each other on {name}: {said[name]} and {facts}; analyse them apart"
                )
    known.update(said)


def _meaning(facts: InterventionFacts | CriterionFacts) -> tuple[str | None, ...]:
    return (
        (facts.better,) if isinstance(facts, CriterionFacts) else (facts.category, facts.strength)
    )
