"""A part's identity is the hash of its content as JSON, whatever holds it."""

import hashlib
import json
from typing import Any

import pytest

from interventions.data.base import Edit, PortabilityPrompt, Prompt, Questions
from interventions.data.identity import Lazy, identity_of


def hashed(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


EDIT = {
    "subject": "Ann",
    "prompt": "The home of Ann is",
    "target": "Rome",
    "original": "Oslo",
    "rephrasings": ["Ann lives in"],
}
PROMPT = {"prompt": "Ann may see the", "answer": "Colosseum"}


@pytest.mark.parametrize(
    ("part", "document"),
    [
        (("a", "é"), ["a", "é"]),
        ((), []),
        ({"b": 1, "a": [2, None]}, {"a": [2, None], "b": 1}),
        ((Prompt(**PROMPT),), [PROMPT]),
        (Lazy(lambda: ("a", "b")), ["a", "b"]),
    ],
)
def test_equal_content_has_equal_identity(part: Any, document: Any) -> None:
    assert identity_of(part) == hashed(document)


def test_edits_without_portability_are_those_of_before_there_was_any() -> None:
    def identity(*portability: PortabilityPrompt) -> str:
        edit = Edit("Ann", "The home of Ann is", "Rome", "Oslo", ("Ann lives in",), portability)
        return identity_of((edit,))

    assert identity() == hashed([EDIT])
    prompt = PortabilityPrompt(**PROMPT, kind="hop")
    document = EDIT | {"portability": [PROMPT | {"kind": "hop"}]}
    assert identity(prompt) == hashed([document])


def test_questions_are_known_by_what_they_ask() -> None:
    questions = Questions((("facts", "mmlu"),), limit=2)
    assert identity_of(questions) == identity_of(questions.identity)
    assert identity_of(questions) != identity_of(Questions((("facts", "mmlu"),), limit=3))


def test_lazy_texts_are_read_once_and_when_they_are_used() -> None:
    reads: list[int] = []

    def read() -> tuple[str, ...]:
        reads.append(1)
        return ("first", "second", "third")

    texts = Lazy(read)
    assert not reads
    assert (len(texts), texts[-1], texts[1:]) == (3, "third", ("second", "third"))
    assert texts.identity == identity_of(("first", "second", "third"))
    assert list(texts) == ["first", "second", "third"] and reads == [1]
