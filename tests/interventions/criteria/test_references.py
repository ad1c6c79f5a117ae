"""What can be another model's answer to one question, as JSON gives it back."""

from types import SimpleNamespace
from typing import Any

import pytest

from interventions.criteria.references import REFERENCES, references_of
from interventions.data.testbed import testbed as small_world

IS_ANSWER = {reference.part: reference.is_answer for reference in REFERENCES}


@pytest.mark.parametrize("part", ["retain_choices", "base_choices"])
@pytest.mark.parametrize(
    "answer",
    ["mmlu/0", [], ["mmlu/0"], ["mmlu/0", -1.0], ["mmlu/0", [-1.0, 2]], ["mmlu/0", [], []]],
)
def test_a_choice_is_an_item_with_numbers_and_nothing_else(part: str, answer: Any) -> None:
    assert IS_ANSWER[part](["mmlu/0", [-1.0, -2.5]]) is True
    assert IS_ANSWER[part](answer) is False
    assert IS_ANSWER[part]([3, [-1.0, -2.5]]) is False


def test_an_answer_to_a_prompt_is_text() -> None:
    assert IS_ANSWER["base_answers"]("Rome") is True
    assert IS_ANSWER["base_answers"](["Rome"]) is False


def test_answers_are_found_again_by_what_they_depend_on() -> None:
    data = small_world()
    retained, greedy, chosen = REFERENCES
    questions = data.identity("questions")
    assert retained.identity(data) == [
        *("retain_choices", 1),
        *(questions, data.identity("retain_choices")),
    ]
    assert greedy.identity(data) == ["base_answers", 2, data.identity("locality")]
    assert chosen.identity(data) == ["base_choices", 1, questions]
    assert greedy.made_up(data) == ("",) * 150


@pytest.mark.parametrize(
    ("stored", "answers"),
    [
        (["Rome", ""], ("Rome", "")),
        ([], ()),
        (["Rome", 5], None),
        ("Rome", None),
        ({"Rome": "Oslo"}, None),
        (None, None),
    ],
)
def test_stored_answers_are_all_answers_or_none(stored: Any, answers: Any) -> None:
    assert REFERENCES[1].from_json(stored) == answers


def test_stored_choices_are_tuples_again() -> None:
    stored = [["mmlu/0", [-1.0, -2.5]], ["mmlu/1", []]]
    expected = (("mmlu/0", (-1.0, -2.5)), ("mmlu/1", ()))
    assert REFERENCES[0].from_json(stored) == REFERENCES[2].from_json(stored) == expected


def test_criteria_need_the_answers_that_they_read_in_the_order_of_the_list() -> None:
    first: Any = SimpleNamespace(reads={"base_choices", "questions"})
    second: Any = SimpleNamespace(reads={"retain_choices"})
    parts = [reference.part for reference in references_of([first, second])]
    assert parts == ["retain_choices", "base_choices"]
    assert references_of([]) == []
