"""The prose: documents of 3 to 5 sentences, the same as ever, in three disjoint splits."""

import hashlib
import json
import re
from collections import Counter

import pytest

from interventions.data.testbed.prose import SIZES, Split, prose

# by the code of commit 6e562c7; the shipped model was trained on the first
SHA256 = {
    "train": "fdaf2b1ad84b8f8ade0666e0cdf3a33b37eea6f6a36e702a98743075a52de9f9",
    "validation": "aa3a461b6bdcc34abfc4dd85085052b51c4ab8da378204d6a57d64276b9bf7e1",
    "test": "5e0d7b513336fc44d7b75c61c01263cb0a16b0e52370a7e0d5ae426aecba9df3",
}


@pytest.mark.parametrize("split", SIZES)
def test_the_prose_is_the_same_as_ever(split: Split) -> None:
    assert hashlib.sha256(json.dumps(prose(split)).encode()).hexdigest() == SHA256[split]


def test_the_splits_are_disjoint_and_of_their_sizes() -> None:
    texts = [text for split in SIZES for text in prose(split)]
    assert [len(prose(split)) for split in SIZES] == [6000, 200, 200] == [*SIZES.values()]
    assert len(set(texts)) == len(texts)


def test_a_document_is_three_to_five_sentences_that_begin_with_a_capital() -> None:
    by_document = [re.findall(r"[^.]+\.", text) for text in prose("train")]
    assert {len(sentences) for sentences in by_document} == {3, 4, 5}
    sentences = [sentence.strip() for document in by_document for sentence in document]
    assert all(re.fullmatch(r"[A-Z][a-z]*(,? [a-z]+)*\.", sentence) for sentence in sentences)


def test_words_occur_as_often_as_the_grammar_weighs_them() -> None:
    """A river weighs 8, a house 6, a lantern 1 of the nouns."""
    counts = Counter(re.findall("[a-z]+", " ".join(prose("train"))))
    assert counts["river"] / counts["house"] == pytest.approx(8 / 6, rel=0.05)
    assert counts["river"] / counts["lantern"] == pytest.approx(8, rel=0.1)


def test_a_split_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="no split is named 'held_out'; known: train, validation"):
        prose("held_out")
