"""Labels of answers: with every kind of tokenizer, the ids that make the answer in its context."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tokenizers import processors
from transformers import PreTrainedTokenizerBase

from interventions.answer_labels import answer_labels
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.anatomies.tokenizers import KINDS, tokenizer
from tests.anatomies.zoo import ANATOMIES

PAIRS = (
    ("The home of Velta lies", " near the old harbour"),
    ("Seren", " paints"),
    ("It weighs", " 3.5 kg, they say"),
    ("Her name is", " Zoë Þórsdóttir"),
)


def padded(kind: str) -> PreTrainedTokenizerBase:
    words = tokenizer(kind)
    words.pad_token = words.pad_token or words.eos_token
    return words


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_the_answers_ids_in_context(kind: str) -> None:
    words = padded(kind)
    encoded, labels = answer_labels(words, PAIRS, None)
    for (prompt, answer), ids, mask, row in zip(
        PAIRS, encoded["input_ids"], encoded["attention_mask"].bool(), labels, strict=True
    ):
        whole = words(prompt + answer)["input_ids"]
        assert ids[mask].tolist() == whole
        counted = row != -100
        # a whole stretch at the end: nothing of the answer is missing
        assert row[counted].tolist() == whole[len(whole) - int(counted.sum()) :]
        assert words.decode(row[counted], skip_special_tokens=True).strip() == answer.strip()
        assert words.decode(ids[mask & ~counted], skip_special_tokens=True).strip() == prompt


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_an_end_that_the_tokenizer_adds_is_no_label(padding_side: str) -> None:
    words = padded("bytes+bos")
    expected = answer_labels(words, PAIRS, None)[1]
    first, last = words.bos_token, words.eos_token
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(first, words.bos_token_id), (last, words.eos_token_id)],
    )
    words.padding_side = padding_side
    assert words("Seren")["input_ids"][-1] == words.eos_token_id
    encoded, labels = answer_labels(words, PAIRS, None)
    for row, plain in zip(labels, expected, strict=True):
        assert row[row != -100].tolist() == plain[plain != -100].tolist()
    assert not (labels == words.eos_token_id).any()
    assert (encoded["input_ids"][:, 0] == words.bos_token_id).all()


def test_a_token_over_the_boundary_is_the_answers() -> None:
    """ "Se" + "ren" has tokens of "Seren", which begin in the prompt."""
    words = padded("bytes")
    whole = words("Seren paints")["input_ids"]
    labels = answer_labels(words, [("Se", "ren paints")], None)[1][0]
    assert labels.tolist() == whole and words.decode(whole[:1]) != "Se"


def test_without_an_answer_nothing_is_a_label() -> None:
    for kind in KINDS:
        labels = answer_labels(padded(kind), [(prompt, "") for prompt, _ in PAIRS], None)[1]
        assert (labels == -100).all()


def test_a_pair_that_is_longer_than_the_context_is_refused() -> None:
    words = padded("bytes+bos")
    longest = max(len(words(prompt + answer)["input_ids"]) for prompt, answer in PAIRS)
    assert answer_labels(words, PAIRS, longest)[1].shape[1] == longest
    message = f"^a prompt has {longest} tokens with its answer, but the model reads {longest - 1} "
    with pytest.raises(InvalidInput, match=message):
        answer_labels(words, PAIRS, longest - 1)


def test_the_models_context_is_what_counts() -> None:
    model: Any = ANATOMIES["gpt2"].model()
    lm = LM(model, padded("bytes"))
    encoded, labels = lm.encode_pairs(PAIRS)
    assert torch.equal(labels, answer_labels(lm.tokenizer, PAIRS, None)[1])
    assert set(encoded) == {"input_ids", "attention_mask"}
    model.config.n_positions = 4
    with pytest.raises(InvalidInput, match="but the model reads 4 at once"):
        lm.encode_pairs(PAIRS)
