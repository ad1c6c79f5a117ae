"""Training documents: rows of whole documents, and their loss."""

import random

import pytest
import torch

from interventions.data.testbed.architecture import make_model, make_tokenizer, spread_channels
from interventions.data.testbed.documents import PROMPT_WEIGHT, ROW, documents, pack_rows, row_loss
from interventions.data.testbed.world import world


def test_training_rows_hold_whole_documents_that_see_only_themselves() -> None:
    tokenizer = make_tokenizer(world())
    docs = documents(world(), tokenizer, random.Random(0))[:300]
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


def test_answers_and_prose_weigh_1_and_prompts_less() -> None:
    tokenizer = make_tokenizer(world())
    docs = documents(world(), tokenizer, random.Random(0))
    assert {weight for doc in docs for weight in doc.weights} == {PROMPT_WEIGHT, 1.0}
    assert all(len(doc.ids) == len(doc.weights) and doc.weights[-1] == 1 for doc in docs)
    questions = [doc for doc in docs if doc.weights[0] == PROMPT_WEIGHT]
    assert len(questions) == 2 * len(world().all_facts())
    for doc in questions[:20]:
        answer_start = doc.weights.index(1.0)
        assert tokenizer.decode(doc.ids[answer_start:]).startswith(" ")
        assert set(doc.weights[answer_start:]) == {1.0}


def test_spread_channels_are_uneven_and_leave_the_function_as_it_is() -> None:
    tokenizer = make_tokenizer(world())
    torch.manual_seed(0)
    model = make_model(tokenizer).eval()
    ids = torch.arange(40).reshape(2, 20)
    norm = model.model.layers[0].input_layernorm.weight
    with torch.no_grad():
        before, evenness = model(ids).logits, norm.std()
        spread_channels(model, 0.7, seed=0)
        assert torch.allclose(model(ids).logits, before, atol=1e-4)
    assert evenness == 0 and norm.std() > 0.3
    assert torch.allclose(norm.square().mean(), torch.tensor(1.0), atol=1e-5)
