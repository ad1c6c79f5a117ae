"""What is learned from and measured too is found, whatever its case and blanks."""

from typing import Any

import pytest

from interventions.data.own import data_set
from interventions.data.own.leaks import LEARNED, text_hash
from interventions.data.own.parts import DataPart
from interventions.data.own.reading import own_data
from interventions.errors import InvalidInput
from tests.interventions.data.own.parts import edit, question, question_set

MEASURED: dict[str, dict[str, Any]] = {
    "questions": {"questions": {"stones": question_set(question(3))}},
    "edits": {"edits": [edit(3)]},
    "locality": {"locality": [{"prompt": "The capital of Harun is", "answer": "Maal"}]},
    "perplexity": {
        "perplexity": ["An old ship came home late.\nNobody on it spoke about the storm."]
    },
}
LEAKS = [
    ("questions", "Which colour has stone 3?"),
    ("questions", "  which COLOUR has\tstone 3?\n"),
    ("questions", "Before.\nWhich colour has stone 3? grey\nAfter."),
    ("questions", "Which colour has stone \N{FULLWIDTH DIGIT THREE}?"),
    ("edits", "The river under Bridge 3 is the"),
    ("edits", "the river under bridge 3 is the river 3"),
    ("edits", "the river under bridge 3 is the stream 3"),
    ("edits", "First.\nBridge 3 crosses the\n"),
    ("locality", "The singer of song 3 is Singer 3"),
    ("locality", "the capital of harun is"),
    ("perplexity", "nobody on it spoke about the  storm."),
]


@pytest.mark.parametrize("part", LEARNED)
@pytest.mark.parametrize(("measured", "text"), LEAKS)
def test_a_leak_is_refused_and_allowed_by_name(part: str, measured: str, text: str) -> None:
    measured_part = {**MEASURED["edits"], **MEASURED[measured]}
    learned: dict[str, Any] = {part: ["something else", text]}
    with pytest.raises(
        InvalidInput, match=f"leak {part}-{measured}: text 2 of {part} has"
    ) as error:
        own_data(**measured_part, **learned)
    assert f"allow_leak: [{part}-{measured}]" in str(error.value) and len(str(error.value)) <= 390
    allowed = own_data(**measured_part, **learned, allow_leak=[f"{part}-{measured}"])
    assert len(getattr(allowed.batch(), part)) == 2


def test_one_leak_that_is_allowed_does_not_hide_another() -> None:
    texts = ["Which colour has stone 3?", "The river under Bridge 3 is the"]
    with pytest.raises(InvalidInput, match="leak retain-edits"):
        own_data(
            **MEASURED["edits"], **MEASURED["questions"], retain=texts,
            allow_leak=["retain-questions"],
        )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["Which colour has stone 33?", "Colour of stone 3?", "An old ship", "Bridge 3"]
)
def test_other_words_are_no_leak(text: str) -> None:
    parts = {key: value for each in MEASURED.values() for key, value in each.items()}
    assert own_data(**parts, retain=[text]).batch().retain == (text,)


@pytest.mark.parametrize(
    "text",
    [
        "Which colour has stone 3",
        "Question: Which colour has stone 3?",
        "Question: Which colour has stone 3?\nAnswer: grey",
        "The river under Bridge 3 is the River 3.",
    ],
)
def test_marks_at_the_end_and_a_label_before_hide_no_leak(text: str) -> None:
    with pytest.raises(InvalidInput, match="leak retain-"):
        own_data(**MEASURED["edits"], **MEASURED["questions"], retain=[text])


def test_a_prompt_that_is_edited_and_is_to_stay_is_refused_in_its_batch_alone() -> None:
    stays = [{"prompt": "the river under Bridge 1 is  the", "answer": "Stream 1"}]
    rows = [edit(0), edit(1), edit(2, locality=stays)]
    assert len(own_data(edits=rows, batch=2).batch(1).locality) == 1
    with pytest.raises(InvalidInput, match="leak edits-locality: locality prompt 3 is edited as"):
        own_data(edits=rows).batch()
    assert own_data(edits=rows, allow_leak=["edits-locality"]).batch().edits


def test_what_is_for_tuning_is_measured_too() -> None:
    rows = [question(number) for number in range(4)]
    for text in ("Which colour has stone 0?", "Which colour has stone 3?"):
        with pytest.raises(InvalidInput, match="leak retain-questions"):
            own_data(questions={"stones": question_set(*rows)}, validation=0.5, retain=[text])


def test_texts_of_the_hub_are_looked_at_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [("row 1", "Which colour has stone 3?")]
    monkeypatch.setattr(
        DataPart,
        "_all_rows",
        lambda part: (
            texts
            if part.is_on_hub
            else [(f"row {number}", row) for number, row in enumerate(part.source["rows"], 1)]
        ),
    )
    source = {"hub": f"owner/name@{'a' * 40}"}
    data = own_data(**MEASURED["questions"], retain=source).batch()
    with pytest.raises(InvalidInput, match="leak retain-questions: text 1 of retain"):
        data.identity("retain")


def test_the_same_text_has_one_hash_and_another_has_another() -> None:
    assert text_hash("Straße  A") == text_hash("STRASSE a\n") != text_hash("Strasse b")
    assert data_set.SPLITS == ("test", "validation")
