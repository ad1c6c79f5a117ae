"""Questions that follow from facts about people: hops and aliases."""

from interventions.data import testbed as bed
from interventions.data.testbed.portability import portability_prompts, training_pairs
from interventions.data.testbed.world import Fact, world

PEOPLE = world().facts["person"]


def fact_of(subject: str, relation: str) -> Fact:
    return next(f for f in PEOPLE if (f.subject, f.relation.name) == (subject, relation))


def test_what_follows_from_an_edit_of_a_birthplace() -> None:
    """By hand: Hastor lies in Zitrith."""
    fact = fact_of("Stilum Mibream", "birthplace")
    portable = portability_prompts(world(), fact, "Hastor", "Where was Stilum Mibream?")
    assert [(prompt.kind, prompt.prompt, prompt.answer) for prompt in portable] == [
        ("alias", "Where was Mibream, Stilum?", "Hastor"),
        (
            "hop",
            "Question: What are the birthplace of Stilum Mibream and its country?\nAnswer:",
            "Hastor Zitrith",
        ),
    ]


def test_what_follows_from_an_edit_of_an_employer() -> None:
    """By hand: Dreastuth Trust deals in paper."""
    fact = fact_of("Fosond Reakux", "employer")
    hop = portability_prompts(world(), fact, "Dreastuth Trust", "")[1]
    assert hop.prompt.startswith("Question: What are the employer of Fosond Reakux and its sector?")
    assert hop.answer == "Dreastuth Trust paper"


def test_a_language_has_an_alias_only() -> None:
    fact = fact_of("Stilum Mibream", "language")
    portable = portability_prompts(world(), fact, "Vibrais", fact.question(0))
    assert [prompt.kind for prompt in portable] == ["alias"]


def test_training_tells_the_hops_of_half_the_people_and_all_are_right() -> None:
    facts = world().all_facts()
    answers = {(fact.subject, fact.relation.name): fact.object for fact in facts}
    subjects: dict[str, set[str]] = {"birthplace": set(), "employer": set()}
    for prompt, answer in training_pairs(world()):
        relation, subject = prompt.split("What are the ")[1].split(" and ")[0].split(" of ")
        subjects[relation].add(subject)
        held = answers[subject, relation]
        relation_of_answer = {"birthplace": "country", "employer": "sector"}[relation]
        assert answer == f"{held} {answers[held, relation_of_answer]}"
    assert len(training_pairs(world())) == 400
    assert subjects["birthplace"] == subjects["employer"] and len(subjects["employer"]) == 200


def test_every_edit_has_an_alias_and_those_of_birthplaces_and_employers_a_hop() -> None:
    hops = 0
    for batch in range(3):
        for edit in bed.testbed(batch).edits:
            alias, *rest = edit.portability
            assert alias.kind == "alias" and alias.answer == edit.target
            assert edit.subject not in alias.prompt and len(alias.prompt) == len(edit.prompt) + 1
            assert [prompt.kind for prompt in rest] in ([], ["hop"])
            assert all(prompt.answer.startswith(f"{edit.target} ") for prompt in rest)
            hops += len(rest)
    assert 50 < hops < 100
