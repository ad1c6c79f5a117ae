"""Fields out of columns: where a path leads, and which names are slips."""

from typing import Any

import pytest

from interventions.data.own.fields import row_fields
from interventions.errors import InvalidInput

COLUMNS = {"a": {"b": ["zero", {"c": "deep"}]}, "a.b": "whole", "words": ["a", "0"], "text": "self"}


def text_from(source: str) -> Any:
    return row_fields("text", COLUMNS, {"text": source}, "row 7", False)["text"]


def test_a_path_leads_through_mappings_and_lists_unless_a_column_has_its_name() -> None:
    assert text_from("a.b.0") == "zero" and text_from("a.b.1.c") == "deep"
    assert text_from("a.b") == "whole" and text_from("words.1") == "0"


@pytest.mark.parametrize("path", ["words.a", "words.²", "words.-1", "text.0", "a.c", "a.b.0.0"])
def test_a_path_that_leads_nowhere_is_refused_with_the_columns(path: str) -> None:
    with pytest.raises(InvalidInput) as error:
        text_from(path)
    assert str(error.value) == (
        f"row 7: field 'text' comes from column {path!r}, which the row lacks; it has:"
        " a, a.b, words, text"
    )


def test_a_place_after_the_last_entry_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^row 7: field 'text': 'words\.2': there are 2 entr"):
        text_from("words.2")


QUESTION = {"question": "Which?", "choices": ["a", "b", "c", "d"]}


def test_without_a_mapping_a_near_name_is_a_slip_and_in_a_description_any_name() -> None:
    near = {**QUESTION, "anwser": 0}
    for is_inline in (False, True):
        with pytest.raises(InvalidInput, match=r"no field is named 'anwser'\. Did you mean 'answe"):
            row_fields("question", near, {}, "row 7", is_inline)
    far = {**QUESTION, "answer": 0, "source": "a book"}
    assert row_fields("question", far, {}, "row 7", False) == {**QUESTION, "answer": 0}
    with pytest.raises(InvalidInput, match=r"no field is named 'source'\. Known: question, choice"):
        row_fields("question", far, {}, "row 7", True)


def test_a_name_near_to_a_field_that_is_there_is_no_slip() -> None:
    columns = {**QUESTION, "answer": 0, "answers": "a note"}
    assert row_fields("question", columns, {}, "row 7", False) == {**QUESTION, "answer": 0}


def test_with_a_mapping_every_name_is_meant() -> None:
    columns = {"question": "Which?", "choises": ["a", "b", "c", "d"], "key": 3}
    for is_inline in (False, True):
        fields = row_fields("question", columns, {"answer": "key"}, "row 7", is_inline)
        assert fields == {"question": "Which?", "answer": 3}
