"""What can be another model's answer to one question, as JSON gives it back."""

from typing import Any

import pytest

from interventions.criteria.references import REFERENCES
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
