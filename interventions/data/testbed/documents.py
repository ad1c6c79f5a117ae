"""The testbed's training documents, packed into rows, and the loss of a row."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from interventions.data.testbed.portability import training_pairs
from interventions.data.testbed.prose import prose
from interventions.data.testbed.world import Fact, World

ROW = 64  # tokens
PROSE_PER_PASS = 600  # documents
PROMPT_WEIGHT = 0.1  # of a prompt's loss beside its answer's


@dataclass(frozen=True)
class Document:
    """Token ids and the loss weight of each."""

    ids: list[int]
    weights: list[float]


def trained_pairs(fact: Fact) -> list[tuple[str, str]]:
    """Return (prompt, answer) of every phrasing that training may show: statements, then questions.

    The answer starts with its space.
    """
    statements, questions = fact.prompts(trained=True)
    return [(statement, f" {fact.object}.") for statement in statements] + [
        (question, f" {fact.object}") for question in questions
    ]


def documents(
    facts: World,
    tokenizer: PreTrainedTokenizerFast,
    rng: random.Random,
    pass_index: int,
    *,
    hops: bool = False,
) -> list[Document]:
    """Return one pass: of every fact a trained statement and a trained question; and some prose.

    A fact that is rare is not in every pass.

    Args:
        facts: the world.
        tokenizer: the model's.
        rng: draws phrasings, prose, and the order.
        pass_index: 0 is the first.
        hops: tell the hops of half the people, too.
    """
    end = int(tokenizer.eos_token_id)
    pairs = []
    for fact in facts.all_facts():
        for kind, prompts in enumerate(fact.prompts(trained=True)):
            prompt = rng.choice(prompts)
            if fact.is_told(pass_index, kind):
                pairs.append((prompt, f" {fact.object}" if kind else f" {fact.object}."))
    if hops:
        pairs += [(prompt, f" {answer}") for prompt, answer in training_pairs(facts)]
    docs = [_answer_document(tokenizer, prompt, answer) for prompt, answer in pairs]
    for text in rng.sample(prose("train"), PROSE_PER_PASS):
        ids = [*tokenizer.encode(text), end][:ROW]
        docs.append(Document(ids, [1.0] * len(ids)))
    rng.shuffle(docs)
    return docs


def _answer_document(tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str) -> Document:
    prompt_ids = tokenizer.encode(prompt)
    answer_ids = [*tokenizer.encode(answer, add_special_tokens=False), int(tokenizer.eos_token_id)]
    weights = [PROMPT_WEIGHT] * len(prompt_ids) + [1.0] * len(answer_ids)
    return Document(prompt_ids + answer_ids, weights)


def pack_rows(docs: list[Document], rng: random.Random) -> list[list[Document]]:
    """Return rows of documents that together have at most ROW tokens: first fit, longest first."""
    rows: list[list[Document]] = []
    rows_by_space: dict[int, list[list[Document]]] = {}  # tokens left -> rows
    for doc in sorted(docs, key=lambda doc: -len(doc.ids)):
        length = len(doc.ids)
        space = next((left for left in range(length, ROW + 1) if rows_by_space.get(left)), None)
        row: list[Document] = [] if space is None else rows_by_space[space].pop()
        if space is None:
            space = ROW
            rows.append(row)
        row.append(doc)
        rows_by_space.setdefault(space - length, []).append(row)
    rng.shuffle(rows)
    return rows


def row_loss(model: LlamaForCausalLM, rows: list[list[Document]], pad: int) -> torch.Tensor:
    """Return the weighted mean cross-entropy of packed rows; each document sees itself only."""
    ids = torch.full((len(rows), ROW), pad)
    weights = torch.zeros(len(rows), ROW)
    owner = torch.full((len(rows), ROW), -1)
    positions = torch.zeros(len(rows), ROW, dtype=torch.long)
    for row_index, row in enumerate(rows):
        start = 0
        for doc_index, doc in enumerate(row):
            end = start + len(doc.ids)
            ids[row_index, start:end] = torch.tensor(doc.ids)
            # a document's first token is not predicted
            weights[row_index, start + 1 : end] = torch.tensor(doc.weights[1:])
            owner[row_index, start:end] = doc_index
            positions[row_index, start:end] = torch.arange(len(doc.ids))
            start = end
    own_document = owner[:, :, None] == owner[:, None, :]  # (rows, ROW, ROW)
    mask = (own_document & torch.ones(ROW, ROW, dtype=torch.bool).tril())[:, None]
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
    ).logits
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    target_weights = weights[:, 1:].flatten()
    return (losses * target_weights).sum() / target_weights.sum()
