"""The synthetic world, its phrasings and its questions."""

import json

import pytest

from interventions.data.testbed import TASKS, questions
from interventions.data.testbed.documents import trained_pairs
from interventions.data.testbed.world import HAZARDS, world


def test_the_world_follows_from_its_seed() -> None:
    assert [len(f) for f in world().facts.values()] == [1600, 80, 60, 200, 200, 100, 100, 100, 100]
    again = world.__wrapped__(0)
    assert again.facts == world().facts != world(1).facts


def test_held_out_phrasings_are_never_trained() -> None:
    for fact in world().all_facts()[:200]:
        held = {prompt for kind in fact.prompts(trained=False) for prompt in kind}
        assert len(held) == 2
        assert not held & {prompt for prompt, _ in trained_pairs(fact)}


@pytest.mark.parametrize("criterion", ["mmlu", *HAZARDS.values()])
def test_the_shipped_questions_are_those_of_the_world(criterion: str) -> None:
    texts = {}
    for split, rows in questions.questions(criterion).items():
        lines = (TASKS / f"{criterion}.{split}.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == rows
        assert all(len(set(map(str, row["choices"]))) == 4 for row in rows)  # type: ignore[call-overload]
        texts[split] = {str(row["question"]) for row in rows}
    assert not texts["validation"] & texts["test"]


def test_the_shipped_world_is_the_one_that_the_model_was_trained_on() -> None:
    """Python's `random` draws the same everywhere, so that one fact stands for all before it."""
    city, instrument = world().facts["city"][0], world().facts["instrument"][-1]
    assert f"{city.statement(0)} {city.object}" == "Nodeth lies in Steazas"
    assert f"{instrument.statement(0)} {instrument.object}" == "The case of Votind Neakil is tin"
