"""Which texts of a row of lm-eval's tasks are looked for, with which answers behind them."""

from types import SimpleNamespace
from typing import Any

import pytest

from interventions.data.base import Questions
from interventions.data.own import task_questions
from interventions.data.own.task_questions import _tells, hashes_of_tasks


def hashes(*docs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what is looked for of rows that say their own prompt, options and answer."""
    task = SimpleNamespace(
        eval_docs=[doc["row"] | {"index": index} for index, doc in enumerate(docs)],
        doc_to_text=lambda row: docs[row["index"]].get("text", "Who is it?"),
        doc_to_choice=lambda row: docs[row["index"]]["options"],
        doc_to_target=lambda row: docs[row["index"]]["target"],
    )
    monkeypatch.setattr(task_questions, "tasks", lambda questions: {"tasks": {"law": task}})
    return dict(hashes_of_tasks(Questions((("law", "law"),))).places["questions"])


@pytest.mark.parametrize(
    ("target", "answers"),
    [(0, ["a", "red"]), ("B", ["b", "blue"]), (2, ["c"]), (3, []), (-1, []), ("none", [])],
)
def test_a_question_counts_alone_and_with_its_answers_from_the_row(
    target: object, answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    doc = {"row": {"choices": {"text": ["red", "blue"]}}, "options": ["A", "B", "C"]}
    places = hashes(doc | {"target": target}, monkeypatch=monkeypatch)
    expected = ["who is it", *(f"who is it? {answer}" for answer in answers)]
    assert places == dict.fromkeys(expected, "question 1 of law")


def test_rows_are_numbered_from_1_and_a_task_may_have_no_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passage = "One two three four five.\nOne two.\nSix seven eight nine ten."
    row = {"passage": passage, "heading": "One two", "more": ["red", 5]}
    docs: list[dict[str, Any]] = [
        {"row": {"mixed": ["red", 5]}, "options": ["a"], "target": 0},
        {"row": row, "options": None, "target": "a", "text": "Why is it so?"},
    ]
    assert hashes(*docs, monkeypatch=monkeypatch) == {
        "who is it": "question 1 of law",
        "who is it? a": "question 1 of law",
        "why is it so": "question 2 of law",
        "one two three four five. one two. six seven eight nine ten": "question 2 of law",
        "one two three four five": "question 2 of law",
        "six seven eight nine ten": "question 2 of law",
    }


@pytest.mark.parametrize(
    ("text", "tells"),
    [
        ("Why?", False),
        ("Why so? ", True),
        ("Why so", False),
        ("one two three four", False),
        ("one two three four five", True),
    ],
)
def test_a_question_tells_from_two_words_on_and_another_text_from_five(
    text: str, tells: bool
) -> None:
    assert _tells(text) is tells
