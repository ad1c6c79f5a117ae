"""Encoded requests, against lm-eval's rules."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from lm_eval.models.huggingface import HFLM

from interventions.criteria.engine import encoding
from interventions.criteria.engine.encoding import encode
from interventions.errors import InvalidInput
from tests.anatomies.texts import sentences
from tests.anatomies.tokenizers import KINDS, tokenizer

TEXTS = sentences(6, seed=21, most=2)
PAIRS = [
    *((text, f" {other[:15]}") for text, other in zip(TEXTS, reversed(TEXTS), strict=True)),
    (f"{TEXTS[0]}  ", "A"),
    (f"{TEXTS[0]}\n", " A"),
    (f"<s>{TEXTS[1]}", " the river"),
    (f"</s>{TEXTS[1]}", " the river"),
    ("", "the river"),
    ("", " the river"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_split_as_lm_eval_splits_them(kind: str) -> None:
    known = tokenizer(kind)
    harness: Any = HFLM.__new__(HFLM)
    harness.tokenizer, harness.add_bos_token, harness.custom_prefix_token_id = known, None, None
    harness.backend = "causal"
    calls: list[Any] = []
    harness._loglikelihood_tokens = lambda requests, **kwargs: calls.extend(requests)
    harness.enable_thinking = False
    requests = [SimpleNamespace(args=pair) for pair in PAIRS]
    harness.loglikelihood(requests, disable_tqdm=True)
    expected = [(context, continuation) for _, context, continuation in calls]
    assert [(each.context, each.continuation) for each in encode(known, PAIRS)] == expected


def test_a_slow_tokenizer_encodes_as_a_fast_one(monkeypatch: pytest.MonkeyPatch) -> None:
    known = tokenizer("sentencepiece")
    expected = encode(known, PAIRS)
    monkeypatch.setattr(type(known), "is_fast", property(lambda self: False))
    assert encode(known, PAIRS) == expected


def test_a_text_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known = tokenizer("bytes")
    texts: list[str] = []
    encoded_texts = encoding._encoded_texts

    def noted(tokenizer: Any, every: Any) -> Any:
        texts.extend(every)
        return encoded_texts(tokenizer, every)

    monkeypatch.setattr(encoding, "_encoded_texts", noted)
    encode(known, [(TEXTS[0], f" {letter}") for letter in "ABCD"] * 2)
    assert len(texts) == len(set(texts)) == 5


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((TEXTS[0], ""), "the continuation '' has no token of its own"),
        ((" \n", " A"), "the context ' .n' has no token of its own"),
        (("", ""), "the continuation '' has no token of its own"),
    ],
)
def test_a_request_without_a_token_is_refused(pair: tuple[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        encode(tokenizer("bytes"), [pair])


class Letters:
    """A tokenizer of letters; calls with special tokens begin with the first token, 1."""

    bos_token_id: int | None = 1
    eos_token_id: int | None = None

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        letters = [{"^": 1}.get(letter, ord(letter)) for letter in text]
        return [1, *letters] if add_special_tokens else letters


@pytest.mark.parametrize(
    ("first", "end", "text", "context", "continuation"),
    [
        (1, None, "ab", [1], [97, 98]),
        (1, None, "^ab", [1], [97, 98]),  # it begins with the first token by itself
        (1, None, "a^", [1], [97, 1]),
        (1, None, "", [1], []),
        (None, 5, "ab", [5], [97, 98]),
        (0, 5, "ab", [0], [97, 98]),
        (None, None, "abc", [97], [98, 99]),
    ],
)
def test_before_a_continuation_alone_stands_the_first_token_or_the_end_or_its_own(
    first: int | None, end: int | None, text: str, context: list[int], continuation: list[int]
) -> None:
    letters: Any = Letters()
    letters.bos_token_id, letters.eos_token_id = first, end
    encoded = encoding._without_context(letters, text)
    assert (encoded.context, encoded.continuation) == (context, continuation)
