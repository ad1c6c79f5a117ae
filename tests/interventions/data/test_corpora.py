"""What is learned from and scored: which texts, in which order, none of them in both."""

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import datasets
import pytest

from interventions.base import Intervention
from interventions.composition import Composition, apply
from interventions.data import corpora, hub
from interventions.data.base import Data, Lazy
from interventions.data.paper import paper
from interventions.errors import InvalidInput
from interventions.lm import LM
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


def pile(count: int) -> list[dict[str, Any]]:
    """Documents of 1 to 2,990 characters."""
    return [
        {"text": f" {i} " + "ab cd efg " * (i * 7 % 300), "meta": {"pile_set_name": "Pile-CC"}}
        for i in range(count)
    ]


def write_pile(folder: Path, file: str, rows: list[dict[str, Any]]) -> None:
    path = folder / "mit-han-lab" / "pile-val-backup" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows))
    corpora.awq_texts.cache_clear()


@pytest.mark.parametrize("file", ["val.jsonl", "data/validation-00000-of-00001.jsonl"])
def test_awq_is_calibrated_on_the_piles_validation_texts_shuffled_as_in_its_code(
    file: str, copies: Path
) -> None:
    """Reference: the short ones of ``datasets``' own shuffle, joined, in blocks."""
    rows = [*pile(400), {"text": f"{IN_BOTH}\nand more", "meta": {}}]
    write_pile(copies, file, rows)
    data = paper(0, source=copies)
    texts = list(data.seen_by("awq").calibration)
    shuffled = [row["text"].strip() for row in datasets.Dataset.from_list(rows).shuffle(seed=42)]
    short = [text for text in shuffled if len(text) <= 2000 and IN_BOTH not in text]
    assert 0 < len(short) < 400
    joined = "".join(f"{text}\n\n" for text in short)
    assert len(texts) == len(joined) // 2000 > 100
    assert {len(text) for text in texts} == {2000} and joined.startswith("".join(texts))
    assert dict(data.sources)["awq.calibration"] == "mit-han-lab/pile-val-backup"


def test_only_awq_reads_the_pile(copies: Path) -> None:
    compose = Composition.parse
    without = paper(0, source=copies)
    write_pile(copies, "val.jsonl", pile(200))
    data = paper(0, source=copies)
    assert list(data.seen_by("gptq").calibration) == list(data.calibration)
    assert list(data.calibration) == list(without.calibration)
    for name in ("gptq", "wanda", "sparsegpt"):
        assert compose(name).keys("origin", data) == compose(name).keys("origin", without)
    from_pile = compose("awq").keys("origin", data)
    remove(copies, "mit-han-lab")
    corpora.awq_texts.cache_clear()
    with pytest.warns(UserWarning, match="AWQ is calibrated on C4: there is no local copy of mit-"):
        from_c4 = compose("awq").keys("origin", without)
    plain = dataclasses.replace(without, calibration_of=())
    assert compose("awq").keys("origin", plain) == from_c4 != from_pile
    assert dict(without.sources)["awq.calibration"] == "allenai/c4"


def test_awq_is_applied_with_its_own_texts(
    small: Data, lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Data] = []
    step = Composition.parse("awq(samples=2)")[0]

    def noted(self: Intervention, lm: LM, data: Data) -> LM:
        seen.append(data)
        return lm

    monkeypatch.setattr(type(step), "apply", noted)
    data = dataclasses.replace(small, calibration_of=(("awq", ("its", "own")),))
    apply(step, lm, data, "ab" * 16)
    assert seen[0].calibration == ("its", "own") and seen[0].edits == small.edits


def test_a_compressed_copy_of_the_pile_that_cannot_be_read_is_one_line(copies: Path) -> None:
    write_pile(copies, "val.jsonl.zst", pile(1))
    with pytest.raises(
        InvalidInput, match=r"mit-han-lab/pile-val-backup .*`pip install zstandard`"
    ):
        len(paper(0, source=copies).seen_by("awq").calibration)


def test_a_copy_of_the_pile_without_short_texts_is_named(copies: Path) -> None:
    write_pile(copies, "val.jsonl", [{"text": "long " * 1000}, {"text": ""}])
    with pytest.raises(InvalidInput, match=r"mit-han-lab/pile-val-backup .* has no text"):
        len(paper(0, source=copies).seen_by("awq").calibration)


@pytest.mark.parametrize(
    ("lengths", "blocks"), [((7,), 0), ((8,), 1), ((3, 3), 1), ((3, 2), 0), ((18,), 2), ((28,), 3)]
)
def test_every_text_ends_with_a_blank_line_and_whole_blocks_are_used(
    lengths: tuple[int, ...], blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "PILE_BLOCK", 10)
    joined = "".join(f"{'x' * length}\n\n" for length in lengths)
    written = [joined[start : start + 10] for start in range(0, 10 * blocks, 10)]
    assert list(corpora._blocks("x" * length for length in lengths)) == written


def test_a_document_of_exactly_a_context_fills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": "x" * (hub.CONTEXT - 1)}, {"text": "y" * hub.CONTEXT}]
    monkeypatch.setattr(hub.Source, "rows", lambda source, folder: iter(rows))
    monkeypatch.setattr(corpora, "perplexity_rows", lambda folder, tuning: ())
    calibration = corpora.calibration_texts.__wrapped__(None, False)
    assert calibration == ("y" * hub.CONTEXT,)
