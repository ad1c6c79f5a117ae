"""What is learned from and scored: which texts, in which order, none of them in both."""

import dataclasses
import json
import random
from pathlib import Path

import pytest

from interventions.data import corpora, hub
from interventions.data.base import Data, Lazy
from interventions.data.paper import paper
from interventions.errors import InvalidInput
from tests.interventions.data.local_copies import (
    IN_BOTH,
    LONG,
    PARAGRAPH,
    TEST,
    record,
    remove,
    texts,
    write_parquet,
)
from tracking.plan import plan_run
from tracking.settings import Settings


def test_the_test_text_is_the_test_split_joined_by_blank_lines_in_windows_of_llama_3s_context(
    copies: Path,
) -> None:
    data = paper(0, source=copies)
    assert data.test_text == ("\n\n".join(TEST),)
    assert (data.name, data.window) == ("paper", 8192)


def test_what_is_forgotten_alternates_between_bio_and_cyber_as_long_as_there_are_both(
    copies: Path,
) -> None:
    assert [text.split(":")[0] for text in paper(0, source=copies).forget] == [
        f"A document on {domain}, number {i}"
        for domain, i in (
            ("moss", 0),
            ("knots", 0),
            ("moss", 1),
            ("knots", 1),
            ("fern", 0),
            ("knots", 2),
        )
    ]


def test_what_is_retained_are_the_paragraphs_of_the_train_split_shuffled(copies: Path) -> None:
    retained = paper(0, source=copies).retain
    assert sorted(retained) == sorted(PARAGRAPH.format(i) for i in range(20))
    assert list(retained) != sorted(retained, key=lambda text: int(text.split()[3]))


def test_calibration_texts_are_documents_of_c4_that_fill_a_context(copies: Path) -> None:
    assert list(paper(0, source=copies).calibration) == [f"{i} {LONG}"[:10_000] for i in range(4)]


def test_statistics_are_the_first_articles_of_wikipedia(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "STATISTICS", 2)
    assert list(paper(0, source=copies).statistics) == [f"{i} {LONG}"[:4000] for i in range(2)]


def test_no_text_is_both_learned_from_and_tested_on(copies: Path) -> None:
    data = paper(0, source=copies)
    tested = {line.strip() for line in data.test_text[0].splitlines()} - {""}
    assert IN_BOTH in tested
    for text in (*data.retain, *data.calibration, *data.forget):
        assert text not in data.test_text[0]
        assert not tested & {line.strip() for line in text.splitlines()}


def test_a_corpus_is_read_only_when_a_step_uses_it(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A composition of an edit and a compression needs neither the gated corpus nor Wikipedia."""
    for unused in ("cais/wmdp-bio-forget-corpus", "wikimedia/wikipedia"):
        remove(copies, unused)
    monkeypatch.setenv(hub.VARIABLE, str(copies))
    assert plan_run("lora | wanda", Settings(data="paper")).data.name == "paper"
    with pytest.raises(InvalidInput, match="cais/wmdp-bio-forget-corpus"):
        plan_run("ga(last_layers=2)", Settings(data="paper"))


def test_a_lazy_part_has_the_identity_of_a_tuple_of_its_texts(small: Data) -> None:
    read: list[int] = []

    def texts() -> tuple[str, ...]:
        read.append(1)
        return tuple(small.forget)

    lazy = dataclasses.replace(small, forget=Lazy(texts))
    assert not read
    assert lazy.identity("forget") == small.identity("forget") == lazy.identity("forget")
    assert list(lazy.forget[:3]) == list(small.forget[:3]) and len(lazy.forget) == len(small.forget)
    assert len(read) == 1


def test_a_paragraph_of_the_validation_text_is_not_learned_from_in_tuning(copies: Path) -> None:
    wikitext = copies / "Salesforce/wikitext/wikitext-2-raw-v1"
    both = PARAGRAPH.format(3)
    (copies / "zsre_mend_eval.json").write_text(json.dumps([record(i) for i in range(560)]))
    write_parquet(wikitext / "validation-00000-of-00001.parquet", texts([both]))
    assert both in paper(0, source=copies).retain
    assert both not in paper(0, "validation", copies).retain


def test_what_is_retained_is_shuffled_as_the_authors_shuffle(copies: Path) -> None:
    paragraphs = [PARAGRAPH.format(number) for number in range(20)]
    random.Random(100).shuffle(paragraphs)
    assert list(paper(0, source=copies).retain) == paragraphs


def test_no_more_texts_are_read_than_are_used(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "CALIBRATION", 2)
    monkeypatch.setattr(corpora, "FORGET", 1)
    data = paper(0, source=copies)
    assert len(data.calibration) == 2
    assert [text.split(",")[0] for text in data.forget] == [
        "A document on moss", "A document on knots"
    ]  # fmt: skip
