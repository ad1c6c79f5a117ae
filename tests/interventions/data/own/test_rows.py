"""Rows are checked one by one, and an error names the row and the field."""

from typing import Any

import pytest

from interventions.data.base import Edit, PortabilityPrompt, Prompt
from interventions.data.own.reading import own_data
from interventions.errors import InvalidInput
from tests.interventions.data.own.parts import edit, question, question_set

LONG = "x" * 500


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target": 5}, r"edits row 2: field 'target' must be text \(a number needs quotes\)"),
        ({"target": None}, "edits row 2: field 'target' must be text"),
        ({"target": "  "}, "edits row 2: field 'target' must be text that is not blank"),
        ({"target": "ABSENT"}, "edits row 2: field 'target' is missing; the row has: subject, "),
        ({"target": "Stream 1"}, "edits row 2: field 'target' is the original answer"),
        ({"target": "\ud800"}, "edits row 2: field 'target' is no text: the character '.ud800'"),
        ({"subject": "Nobody"}, "edits row 2: field 'prompt' must have the subject 'Nobody' in it"),
        ({"rephrasings": [1]}, r"edits row 2: field 'rephrasings.0' must be text"),
        ({"rephrasing": ["x"]}, "edits row 2: no field is named 'rephrasing'"),
        ({"locality": ["alone"]}, "edits row 2: field 'locality' has the prompt 'alone' without"),
        ({"locality": [{"prompt": "x"}]}, "edits row 2: field 'answer' of locality.0 is missing"),
        (
            {"portability": [{"prompt": "x", "answer": "y", "kind": "hip"}]},
            "edits row 2: field 'portability.0.kind' must be hop or alias or reverse",
        ),
        (
            {"prompt": "The  river under BRIDGE 0 is the", "subject": "BRIDGE 0"},
            "edits row 2: field 'prompt' is that of row 1 too",
        ),
        ({"target": [LONG]}, "edits row 2: field 'target' must be text"),
    ],
)
def test_a_bad_edit_is_refused_by_row_and_field(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        own_data(edits=[edit(0), edit(1, **changed)])
    assert len(str(error.value)) <= 390


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"choices": ["a", "b", "c", "d", "e"]}, "'choices' must have 4 entries, but got 5"),
        ({"choices": ["a", "b", "c"]}, "'choices' must have 4 entries, but got 3"),
        ({"choices": ["a", "a ", "b", "c"]}, "'choices' must have four different ones"),
        ({"choices": "red"}, "'choices' must have 4 entries, but got 1"),
        ({"answer": 4}, "'answer' must be"),
        ({"answer": -1}, "'answer' must be"),
        ({"answer": True}, "'answer' must be an integer or text"),
        ({"answer": "E"}, "'E' is none of the choices"),
        ({"answer": "1", "choices": ["1", "2", "3", "4"]}, "'1' can mean more than one of the"),
        ({"question": ""}, "'question' must be text that is not blank"),
        ({"question": "ABSENT"}, "'question' is missing"),
    ],
)
def test_a_bad_question_is_refused_by_row_and_field(changed: dict[str, Any], message: str) -> None:
    rows = [question(0), question(1, **changed)]
    with pytest.raises(InvalidInput, match=rf"questions\.stones row 2: .*{message}") as error:
        own_data(questions={"stones": question_set(*rows)})
    assert len(str(error.value)) <= 390


@pytest.mark.parametrize("answer", [2, "C", "blue", "2", " blue "])
def test_the_right_choice_is_named_by_number_letter_or_text(answer: Any) -> None:
    data = own_data(questions={"stones": question_set(question(answer=answer))}).batch()
    assert data.questions.sets[0].questions[0].right_choice == "blue"


def test_an_edit_has_all_that_its_row_has() -> None:
    derived = {"prompt": "The source of River 3 is", "answer": "Lake 3", "kind": "hop"}
    row = edit(3, target=" River 3 ", portability=[derived], locality=["Song 3 is by"])
    data = own_data(edits=[{**row, "locality_answer": "Singer 3"}]).batch()
    assert data.edits == (
        Edit(
            "Bridge 3",
            "The river under Bridge 3 is the",
            "River 3",
            "Stream 3",
            ("Bridge 3 crosses the",),
            (PortabilityPrompt("The source of River 3 is", "Lake 3", "hop"),),
        ),
    )
    assert data.locality == (Prompt("Song 3 is by", "Singer 3"),)


def test_of_edits_with_one_prompt_the_first_counts_where_that_is_said() -> None:
    rows = [edit(0), edit(0, target="Other"), edit(1)]
    data = own_data(edits={"rows": rows, "repeats": "first"}).batch()
    assert [each.target for each in data.edits] == ["River 0", "River 1"]


def test_two_edits_of_one_subject_are_two_facts() -> None:
    second = edit(0, prompt="The builder of Bridge 0 is", rephrasings=[])
    assert len(own_data(edits=[edit(0), second]).batch().edits) == 2


@pytest.mark.parametrize("rows", [[""], [" \n "], [3], [None], [{"txt": "x"}], ["half \udc00"]])
def test_a_bad_text_is_refused_by_row(rows: list[Any]) -> None:
    with pytest.raises(InvalidInput, match="retain row 2"):
        own_data(retain=["a text", *rows])


@pytest.mark.parametrize("part", ["edits", "locality", "retain", "perplexity"])
def test_an_empty_part_is_refused(part: str) -> None:
    parts: dict[str, Any] = {part: []}
    with pytest.raises(InvalidInput, match=f"{part} has no rows; leave the part out"):
        own_data(**parts)


def test_letters_of_all_scripts_come_through() -> None:
    row = edit(subject="Żółw 龍", prompt="Żółw 龍 lebt in", target="Ⅷ 🏔️", rephrasings=["龍 in"])
    data = own_data(edits=[row]).batch()
    assert (data.edits[0].subject, data.edits[0].target) == ("Żółw 龍", "Ⅷ 🏔️")


@pytest.mark.parametrize("options", [{}, {"batch": 2, "defaults": "testbed"}])
def test_a_data_set_of_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"^ours.yaml: there are no data in it; it needs one of"):
        own_data("ours.yaml", **options)
