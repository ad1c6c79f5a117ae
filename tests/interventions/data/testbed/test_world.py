"""The synthetic world, its phrasings."""

import dataclasses
import hashlib
import json

import pytest

from interventions.data.testbed.documents import trained_pairs
from interventions.data.testbed.world import world


def test_the_world_follows_from_its_seed() -> None:
    assert [len(f) for f in world().facts.values()] == [1600, 80, 60, 200, 200, 100, 100, 100, 100]
    again = world.__wrapped__(0)
    assert again.facts == world().facts != world(1).facts


def test_held_out_phrasings_are_never_trained() -> None:
    for fact in world().all_facts()[:200]:
        held = {prompt for kind in fact.prompts(trained=False) for prompt in kind}
        assert len(held) == 2
        assert not held & {prompt for prompt, _ in trained_pairs(fact)}


# by the code of commit 6e562c7; the shipped model was trained on these facts
FACTS = "2851bffea370067079304c2ce801fafa8f6969a82e17d94611f3fa10064ee4a9"


def test_every_fact_and_each_of_its_phrasings_is_the_same_as_ever() -> None:
    facts = [
        [
            *(fact.subject, fact.object, list(fact.held_out)),
            *(fact.statement(index) for index in range(3)),
            *(fact.question(index) for index in range(3)),
        ]
        for fact in world().all_facts()
    ]
    assert hashlib.sha256(json.dumps(facts).encode()).hexdigest() == FACTS


def test_the_first_part_of_a_name_is_shared_and_the_last_is_not() -> None:
    """Of 400 people, 30 first parts."""
    people = {fact.subject for fact in world().facts["person"]}
    firsts, lasts = zip(*(name.split(" ") for name in people), strict=True)
    assert (len(people), len(set(firsts)), len(set(lasts))) == (400, 30, 400)


def test_the_shipped_world_is_the_one_that_the_model_was_trained_on() -> None:
    """Python's `random` draws the same everywhere, so that one fact stands for all before it."""
    city, instrument = world().facts["city"][0], world().facts["instrument"][-1]
    assert f"{city.statement(0)} {city.object}" == "Nodeth lies in Steazas"
    assert f"{instrument.statement(0)} {instrument.object}" == "The case of Votind Neakil is tin"


def test_a_world_and_a_fact_cannot_be_changed() -> None:
    for part, name in ((world(), "seed"), (world().all_facts()[0], "object")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, name, "other")
