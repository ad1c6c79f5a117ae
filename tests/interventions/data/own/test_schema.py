"""What is said of each violation of the schema: the entry, what it must be, and what it is."""

from typing import Any

import pytest

from interventions.data.own.schema import check_description, check_row
from interventions.errors import InvalidInput

KINDS = "a list or text (a number needs quotes) or a mapping"
COMMIT = "a commit of 40 hexadecimal digits, as a branch moves"
# of a source
FIELDS = "rows, file, hub, config, split, fields, placeholder, texts, repeats, first, validation"


def of_text(field: Any) -> dict[str, Any]:
    return {"retain": {"rows": ["a"], "fields": {"text": field}}}


def of_questions(**facts: Any) -> dict[str, Any]:
    return {"questions": {"a": facts}}


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ([], "it must be a mapping, but got []"),
        ({"retain": 5}, f"field 'retain' must be {KINDS}, but got 5"),
        (
            {"retain": {"rows": ["a"], "file": "b"}},
            "field 'retain' must have exactly one of rows or file or hub, but got"
            " {'file': 'b', 'rows': ['a']}",
        ),
        ({"retain": {}}, "field 'retain' must have exactly one of rows or file or hub, but got {}"),
        (
            {"retain": {"fil": "a.txt"}},
            f"no field of retain is named 'fil'. Did you mean 'file'? Known: {FIELDS}",
        ),
        ({"forget": 5}, f"field 'forget' must be {KINDS}, but got 5"),
        ({"forget": {"topics": 5}}, "field 'forget.topics' must be a mapping, but got 5"),
        (
            {"forget": {"topics": {}}},
            "field 'forget.topics' must be of a length of at least 1, but got {}",
        ),
        ({"forget": {"topics": {"a": 5}}}, f"field 'forget.topics.a' must be {KINDS}, but got 5"),
        (
            {"forget": {"file": "a.txt", "x": 1}},
            f"no field of forget is named 'x'. Known: {FIELDS}",
        ),
        (of_text([]), "field 'retain.fields.text' must have at least 1 entries, but got 0: []"),
        (
            of_text(["a"] * 101),
            "field 'retain.fields.text' must have at most 100 entries, but got 101:"
            f" [{'a, ' * 15}'a'…".replace("a, ", "'a', "),
        ),
        (of_text({}), "field 'value' of retain.fields.text is missing; there is: nothing"),
        (
            of_text({"vale": 1}),
            "no field of retain.fields.text is named 'vale'. Did you mean 'value'? Known: value",
        ),
        (of_text(""), "field 'retain.fields.text' must be of a length of at least 1, but got ''"),
        (
            {"retain": {"rows": ["a"], "config": "a b"}},
            r"field 'retain.config' must be of the form ^[\w.-]{1,200}$, but got 'a b'",
        ),
        ({"validation": 0}, "field 'validation' must be greater than 0, but got 0"),
        ({"batch": 100001}, "field 'batch' must be at most 100000, but got 100001"),
        ({"defaults": "ours"}, "field 'defaults' must be paper or testbed, but got 'ours'"),
        ({"allow_leak": ["a", 3]}, "field 'allow_leak.1' must be text (a number needs quotes), but"
         " got 3"),
        ({"edits": {"rows": [], "validation": 2}}, "field 'edits.validation' must be less than 1,"
         " but got 2"),
        (
            {"edits": {"rows": [], "validation": {"rows": [], "x": 1}}},
            f"no field of edits.validation is named 'x'. Known: {FIELDS}",
        ),
        (of_questions(), "field 'better' of questions.a is missing; there is: nothing"),
        (
            of_questions(better="higher"),
            "field 'questions.a' must have exactly one of rows or file or hub or task, but got"
            " {'better': 'higher'}",
        ),
        (
            of_questions(task="x", revision="main", better="higher"),
            f"field 'questions.a.revision' must be {COMMIT}, but got 'main'",
        ),
        (
            {"retain": {"hub": "owner/name@main"}},
            f"field 'retain.hub' must be owner/name@ and {COMMIT}, but got 'owner/name@main'",
        ),
    ],
)  # fmt: skip
def test_a_wrong_entry_of_a_description_is_told_in_words(description: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        check_description(description, "ours.yaml")
    assert str(error.value) == f"ours.yaml: {message}"


EDIT = {"subject": "a", "prompt": "a", "target": "b"}
QUESTION = {"question": "a", "choices": ["a", "b", "c", "d"], "answer": 0}


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("edit", 3, "it must be a mapping, but got 3"),
        ("edit", {}, "field 'subject' is missing; there is: nothing"),
        ("edit", {"subject": "a"}, "field 'prompt' is missing; there is: subject"),
        ("edit", dict.fromkeys("abcdefghijklmnopqrstuvw"), "field 'subject' is missing; there is:"
         f" {', '.join('abcdefghijklmnopqrst')}"),
        ("question", QUESTION | {"choices": ["a"]}, "field 'choices' must have 4 entries, but got"
         " 1: ['a']"),
        ("question", QUESTION | {"answer": 4}, "field 'answer' must be at most 3, but got 4"),
        ("question", QUESTION | {"answer": None}, "field 'answer' must be an integer or text (a"
         " number needs quotes), but got None"),
        ("prompt", {"prompt": " ", "answer": "b"}, "field 'prompt' must be text that is not blank,"
         " but got ' '"),
        ("edit", EDIT | {"portability": [{"prompt": "a", "answer": "b", "kind": "x"}]},
         "field 'portability.0.kind' must be hop or alias or reverse, but got 'x'"),
        ("edit", EDIT | {"locality": ["a", {"prompt": "a"}]}, "field 'answer' of locality.1 is"
         " missing; there is: prompt"),
        ("edit", EDIT | {"locality": [3]}, "field 'locality.0' must be a mapping or text (a number"
         " needs quotes), but got 3"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_row_is_told_in_words(kind: str, row: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        check_row(kind, row, "row 5")
    assert str(error.value) == f"row 5: {message}"
