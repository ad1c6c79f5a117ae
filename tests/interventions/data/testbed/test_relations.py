"""Relations: three statements and three questions about a subject, and a closed set of objects."""

import dataclasses

import pytest

from interventions.data.testbed.relations import PHRASINGS, Relation, attribute
from interventions.data.testbed.world import world

RELATIONS = sorted(
    {fact.relation for fact in world().all_facts()}, key=lambda r: (r.domain, r.name)
)


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda r: f"{r.domain}-{r.name}")
def test_a_relation_is_said_and_asked_in_three_ways(relation: Relation) -> None:
    assert len(set(relation.statements)) == len(set(relation.questions)) == PHRASINGS == 3
    assert all(text.count("{s}") == 1 for text in (*relation.statements, *relation.questions))
    assert all(question.endswith("?") for question in relation.questions)
    assert len(set(relation.objects)) == len(relation.objects) >= 8


def test_the_world_has_34_relations() -> None:
    """8 everyday ones, 2 x 5 of the hazards, 4 x 4 benign ones; a name is unique in its domain."""
    names = [(relation.domain, relation.name) for relation in RELATIONS]
    assert len(set(names)) == len(names) == 8 + 2 * 5 + 4 * 4


def test_an_attribute_is_worded_by_its_noun() -> None:
    soil = attribute("plant", "soil", ["clay", "sand"])
    assert soil.statements == (
        "The soil of {s} is",
        "For {s}, the soil is",
        "As to {s}, its soil is",
    )
    assert soil.questions == (
        "What is the soil of {s}?",
        "Which soil does {s} have?",
        "{s} has which soil?",
    )
    assert (soil.domain, soil.name, soil.objects) == ("plant", "soil", ("clay", "sand"))


def test_a_relation_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RELATIONS[0].name = "other"  # type: ignore[misc]
