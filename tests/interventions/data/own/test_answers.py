"""Answers that a model's tokenizer drops, by a tokenizer that drops all but the letter a."""

from types import SimpleNamespace
from typing import Any

import pytest

from interventions.data.own import answers
from interventions.data.own.answers import check_answers
from interventions.errors import InvalidInput


class Tokenizer:
    """Only the letter a is a token, and a blank."""

    def decode(self, tokens: list[str]) -> str:
        return "".join(token for token in tokens if token in "a ")


@pytest.fixture(autouse=True)
def continued(monkeypatch: pytest.MonkeyPatch) -> None:
    def continuations(tokenizer: object, pairs: list[tuple[str, str]], form: object) -> list[Any]:
        return [SimpleNamespace(answer=list(answer)) for _, answer in pairs]

    monkeypatch.setattr(answers, "continuations", continuations)


def checked(targets: list[str], locality: list[str]) -> None:
    tokenizer: Any = Tokenizer()
    data: Any = SimpleNamespace(
        edits=[SimpleNamespace(prompt="p", target=target) for target in targets],
        locality=[SimpleNamespace(prompt="p", answer=answer) for answer in locality],
    )
    check_answers(data, tokenizer, "ours")


def test_answers_of_which_something_is_left_pass() -> None:
    checked(["a", "ab"], [" a", "ba"])


@pytest.mark.parametrize(
    ("targets", "locality", "message"),
    [
        (["a", "b"], [], "the target of edit 2, 'b', is nothing to the tokenizer of 'ours'"),
        (["c"], ["b"], "the target of edit 1, 'c', is nothing"),
        (["a"], ["b", "a"], "the answer to locality prompt 1, 'b', is nothing"),
        (["a"], ["a", " b"], "the answer to locality prompt 2, ' b', is nothing"),
    ],
)
def test_an_answer_of_which_nothing_is_left_is_named(
    targets: list[str], locality: list[str], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        checked(targets, locality)
