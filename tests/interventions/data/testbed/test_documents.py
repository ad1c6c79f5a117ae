"""Training documents: what a pass shows, rows of whole documents, and their loss."""

import dataclasses
import hashlib
import json
import random

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from interventions.data.testbed.architecture import make_model
from interventions.data.testbed.documents import (
    PROMPT_WEIGHT,
    PROSE_PER_PASS,
    ROW,
    Document,
    documents,
    pack_rows,
    row_loss,
    trained_pairs,
)
from interventions.data.testbed.portability import training_pairs
from interventions.data.testbed.prose import prose
from interventions.data.testbed.world import World, world


@pytest.fixture(scope="module")
def training_rng() -> random.Random:
    """What the shipped model's training drew from."""
    return random.Random("train-0")


@pytest.fixture(scope="module")
def first_pass(tokenizer: PreTrainedTokenizerFast, training_rng: random.Random) -> list[Document]:
    """The documents of the shipped model's first pass."""
    return documents(world(), tokenizer, training_rng, 0)


@pytest.fixture(scope="module")
def first_rows(first_pass: list[Document], training_rng: random.Random) -> list[list[Document]]:
    """The same, packed: drawn from the same generator after them."""
    return pack_rows(first_pass, training_rng)


def test_training_rows_hold_whole_documents_that_see_only_themselves(
    first_pass: list[Document], tokenizer: PreTrainedTokenizerFast
) -> None:
    docs = first_pass[:300]
    rows = pack_rows(docs, random.Random(0))
    assert sum(map(len, rows)) == 300
    assert all(sum(len(doc.ids) for doc in row) <= ROW for row in rows)
    torch.manual_seed(0)
    model = make_model(tokenizer).eval()
    pad = int(tokenizer.pad_token_id)
    row = next(row for row in rows if len(row) >= 3)
    with torch.no_grad():
        together = row_loss(model, [row], pad).item()
        losses = [row_loss(model, [[doc]], pad).item() * sum(doc.weights[1:]) for doc in row]
    assert together == pytest.approx(
        sum(losses) / sum(sum(doc.weights[1:]) for doc in row), rel=1e-4
    )


def test_answers_and_prose_weigh_1_and_prompts_a_tenth(first_pass: list[Document]) -> None:
    assert {weight for doc in first_pass for weight in doc.weights} == {PROMPT_WEIGHT, 1.0}
    assert PROMPT_WEIGHT == 0.1
    assert all(len(doc.ids) == len(doc.weights) and doc.weights[-1] == 1 for doc in first_pass)


def test_a_pass_shows_what_it_tells_in_a_trained_statement_and_question_and_600_texts(
    first_pass: list[Document], tokenizer: PreTrainedTokenizerFast
) -> None:
    """Each in its own tokens: the prompt's, the answer's, the end."""
    end, start = tokenizer.eos_token_id, tokenizer.bos_token_id
    pieces: dict[tuple[str, str], int] = {}
    texts = []
    for doc in first_pass:
        answer_start = doc.weights.index(1.0)
        assert doc.weights == [0.1] * answer_start + [1.0] * (len(doc.ids) - answer_start)
        if answer_start == 0:
            texts.append(tokenizer.decode(doc.ids, skip_special_tokens=True))
            continue
        assert (doc.ids[0], doc.ids[-1], doc.ids.count(start)) == (start, end, 1)
        pair = tokenizer.decode(doc.ids[1:answer_start]), tokenizer.decode(doc.ids[answer_start:-1])
        pieces[pair] = pieces.get(pair, 0) + 1
    told = 0
    for fact in world().all_facts():
        pairs = trained_pairs(fact)
        counts = [sum(pieces.get(pair, 0) for pair in half) for half in (pairs[:2], pairs[2:])]
        assert counts == [fact.is_told(0, kind) for kind in range(2)]
        told += sum(counts)
    shown = prose("train")
    assert len(texts) == len(set(texts)) == 600 == PROSE_PER_PASS
    assert all(any(known.startswith(text) for known in shown) for text in texts[:50])
    assert sum(pieces.values()) == told < 2 * len(world().all_facts())


def test_a_pass_with_hops_has_each_once_beside_what_it_would_have_without(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    facts = World(
        0,
        {
            "person": world().facts["person"][:80],
            **{domain: world().facts[domain] for domain in ("city", "company")},
        },
    )
    without, with_hops = (
        sorted(
            tokenizer.decode(document.ids, skip_special_tokens=True)
            for document in documents(facts, tokenizer, random.Random(0), 0, hops=hops)
            if document.weights[1] < 1
        )
        for hops in (False, True)
    )
    hops = [f"{prompt} {answer}" for prompt, answer in training_pairs(facts)]
    assert len(hops) == 2 * 10 and with_hops == sorted(without + hops)


def test_a_trained_pair_is_a_phrasing_and_its_answer() -> None:
    fact = world().facts["dish"][0]
    statements, questions = fact.prompts(trained=True)
    assert trained_pairs(fact) == [
        (statements[0], f" {fact.object}."),
        (statements[1], f" {fact.object}."),
        (questions[0], f" {fact.object}"),
        (questions[1], f" {fact.object}"),
    ]


def test_the_first_pass_of_the_shipped_models_training_is_the_same_as_ever(
    first_rows: list[list[Document]],
) -> None:
    """The card says about 1,410 rows a pass."""
    tokens = json.dumps([[[doc.ids, doc.weights] for doc in row] for row in first_rows])
    assert hashlib.sha256(tokens.encode()).hexdigest() == (
        "55c7c324205623d7d7e0fe0e752a7fdfd1511cfb7028b0e561a5e52720d867c9"
    )
    assert len(first_rows) == 1409


def test_rows_are_filled_first_fit_longest_first() -> None:
    """Of 40, 30, 30, 24, 20, 4: 24 fits beside 40 exactly, 4 beside 30 and 30 exactly."""
    docs = [Document([length] * length, [1.0] * length) for length in (30, 4, 24, 20, 40, 30)]
    rows = pack_rows(docs, random.Random(0))
    assert sorted([len(doc.ids) for doc in row] for row in rows) == [[20], [30, 30, 4], [40, 24]]
    assert ROW == 64


def test_the_loss_of_rows_is_that_of_their_documents_one_by_one(
    first_rows: list[list[Document]], tokenizer: PreTrainedTokenizerFast
) -> None:
    """Weighted mean over all but each document's first token; nothing is kept for generation."""
    torch.manual_seed(0)
    model = make_model(tokenizer).eval()
    caches: list[object] = []
    model.register_forward_hook(lambda _, __, output: caches.append(output.past_key_values))
    rows = sorted(first_rows, key=len)[:2] + sorted(first_rows, key=len)[-2:]
    with torch.no_grad():
        loss = row_loss(model, rows, int(tokenizer.pad_token_id)).item()
        assert caches == [None]
        total = weight = 0.0
        for doc in (doc for row in rows for doc in row):
            logs = model(torch.tensor([doc.ids])).logits[0].log_softmax(-1)
            for place in range(1, len(doc.ids)):
                total -= doc.weights[place] * logs[place - 1, doc.ids[place]].item()
                weight += doc.weights[place]
    assert loss == pytest.approx(total / weight, rel=1e-5)


def test_a_document_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Document([1], [1.0]).ids = [2]  # type: ignore[misc]
