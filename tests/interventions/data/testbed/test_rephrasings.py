"""Rephrasings share no word of content with the prompt that they rephrase."""

import pytest

from interventions.data import testbed as bed
from interventions.data.testbed.rephrasings import rephrasings, stems
from interventions.data.testbed.world import world

FACTS = {fact.relation.name: fact for fact in world().facts["person"][:4]}


@pytest.mark.parametrize(
    ("relation", "index", "expected"),
    [
        (
            "employer",
            0,  # "Who employs {s}?"
            (
                "Question: For which company does Balir Defair work?\nAnswer:",
                "Balir Defair works for",
                "The wages of Balir Defair come from",
            ),
        ),
        (
            "language",
            0,  # "Which language does {s} speak?"
            (
                "Question: What is the mother tongue of Balir Defair?\nAnswer:",
                "Question: In what does Balir Defair talk at home?\nAnswer:",
                "The mother tongue of Balir Defair is",
                "At home Balir Defair talks in",
            ),
        ),
    ],
)
def test_what_is_said_in_other_words(relation: str, index: int, expected: tuple[str, ...]) -> None:
    """By hand."""
    fact = FACTS[relation]
    assert rephrasings(fact, fact.question(index)) == expected


def test_a_statement_is_rephrased_too() -> None:
    fact = FACTS["birthplace"]
    assert rephrasings(fact, fact.statement(0)) == (
        "Question: What is the birthplace of Balir Defair?\nAnswer:",
        "The birthplace of Balir Defair is",
        "The cradle of Balir Defair stood in",
    )


def test_forms_of_a_word_are_one_and_function_words_are_none() -> None:
    assert stems("Who employs {s}?") & stems("The employer of {s} is") == {"empl"}
    assert stems("Where is {s}?") == stems("What does {s}?") == set()


def test_every_edit_has_three_rephrasings_or_more() -> None:
    for batch in range(3):
        for edit in bed.testbed(batch).edits:
            assert len(set(edit.rephrasings)) == len(edit.rephrasings) >= 3
            assert edit.prompt not in edit.rephrasings
            assert all(edit.subject in prompt for prompt in edit.rephrasings)
