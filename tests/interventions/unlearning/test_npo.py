"""NPO and SimNPO against their equations, in float64, one text at a time.

Zhang et al. 2024, "Negative Preference Optimization", equation 3; Fan et al. 2024, "Simplicity
Prevails", equation 4. log sigmoid is written out, by its definition.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from interventions.composition import apply
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.lm import LM
from interventions.unlearning import text_losses as module
from interventions.unlearning.npo import NPO
from interventions.unlearning.simnpo import SimNPO
from tests.interventions.comparison import changed_weights
from tests.interventions.unlearning.reference import (
    KEY,
    Losses,
    PlainAdamW,
    Reference,
    assert_stepped_alike,
    last_blocks,
    of_unlike_lengths,
)

SMALL: dict[str, Any] = {
    "lr": 1e-3, "steps": 4, "batch": 2, "retain_batch": 3, "retain_weight": 2.5, "last_layers": 2,
    "max_tokens": 7,
}  # fmt: skip
STEPS = [
    NPO(**SMALL, beta=0.3),
    NPO(**SMALL, beta=2.0, per_token=True),
    SimNPO(**SMALL, beta=4.5, margin=0.125),
    SimNPO(**SMALL, beta=0.1),
]


def log_sigmoid(x: Tensor) -> Tensor:
    return -torch.log1p(torch.exp(-x))


def log_probability(reference: Reference, model: Any, text: str) -> tuple[Tensor, int]:
    """Return log p of a text but its first token, and of how many tokens it is."""
    ids = reference.ids(text)
    logits = model(ids).logits[0].log_softmax(-1)
    places = range(1, ids.shape[1])
    return torch.stack([logits[t - 1][ids[0, t]] for t in places]).sum(), len(places)


def forget_loss(step: NPO | SimNPO, reference: Reference, texts: Sequence[str]) -> Tensor:
    losses = []
    for text in texts:
        now, tokens = log_probability(reference, reference.model, text)
        if isinstance(step, SimNPO):
            inner = -step.beta / tokens * now - step.margin
        else:
            with torch.no_grad():
                before, _ = log_probability(reference, reference.frozen, text)
            ratio = (now - before) / (tokens if step.per_token else 1)
            inner = -step.beta * ratio
        losses.append(-2 / step.beta * log_sigmoid(inner))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_the_losses_are_those_of_the_equation_step_after_step(
    step: NPO | SimNPO, lm: LM, small: Data, losses: Losses
) -> None:
    """Five texts to forget, two a step, and four to retain, three a step, round and round."""
    data = dataclasses.replace(
        small,
        forget=of_unlike_lengths(small.forget[:5]),
        retain=of_unlike_lengths(small.retain[:4]),
    )
    stepped = apply(step, lm, data, KEY)
    reference = Reference(7)
    optimizer, theirs = PlainAdamW(reference.train(list(last_blocks(2))), 1e-3, 0.0), []
    for i in range(4):
        forget = [data.forget[(2 * i + j) % 5] for j in range(2)]
        retain = [data.retain[(3 * i + j) % 4] for j in range(3)]
        loss = forget_loss(step, reference, forget) + 2.5 * reference.text_loss(retain)
        theirs.append(loss.item())
        optimizer.step(loss)
    assert losses.steps[0] == pytest.approx(theirs[0], abs=1e-4)
    assert losses.steps == pytest.approx(theirs, rel=1e-3)
    assert changed_weights(stepped) == last_blocks(2)


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_one_step_is_one_plain_adamw_step(step: NPO | SimNPO, lm: LM, small: Data) -> None:
    stepped = apply(dataclasses.replace(step, steps=1), lm, small, KEY)
    reference = Reference(7)
    optimizer = PlainAdamW(reference.train(list(last_blocks(2))), 1e-3, 0.0)
    optimizer.step(
        forget_loss(step, reference, small.forget[:2]) + 2.5 * reference.text_loss(small.retain[:3])
    )
    assert_stepped_alike(stepped, optimizer)


def test_npo_begins_with_a_loss_of_log_four_over_beta_whatever_the_texts(
    lm: LM, small: Data, losses: Losses
) -> None:
    """-(2 / beta) log sigmoid(0): the model is its own reference."""
    apply(NPO(beta=0.5, steps=1, retain_weight=0.0), lm, small, KEY)
    assert losses.steps == pytest.approx([2 / 0.5 * math.log(2)], abs=1e-5)


@pytest.mark.parametrize("step", STEPS[::2], ids=str)
def test_a_batch_in_several_passes_is_that_in_one(
    step: NPO | SimNPO, small: Data, losses: Losses, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = dataclasses.replace(step, batch=5)
    whole = apply(step, LM.load(MODEL), small, KEY).model.state_dict()
    in_one, losses.steps = losses.steps, []
    monkeypatch.setattr(module, "PASS_TOKENS", 16)  # some texts of 7 tokens
    parts = apply(step, LM.load(MODEL), small, KEY).model.state_dict()
    assert losses.steps == pytest.approx(in_one, rel=1e-4)
    for name, weight in parts.items():
        torch.testing.assert_close(weight, whole[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", [NPO, SimNPO])
def test_the_head_learns_where_it_is_said(method: Any, lm: LM, small: Data) -> None:
    stepped = apply(method(**{**SMALL, "steps": 1}, head=True), lm, small, KEY)
    # tied: the embedding is the head
    head = {"model.norm.weight", "model.embed_tokens.weight"}
    assert changed_weights(stepped) - {"lm_head.weight"} == last_blocks(2) | head


def test_what_is_not_retained_is_not_read(lm: LM, small: Data) -> None:
    data = dataclasses.replace(small, retain=())
    assert changed_weights(apply(NPO(**{**SMALL, "retain_weight": 0.0}), lm, data, KEY))


def test_the_loss_of_a_text_is_that_of_the_equation_by_hand() -> None:
    """Texts of 2 and 4 tokens, of 3 and 6 nats, and of 1 and 8 nats before."""
    now, tokens, before = torch.tensor([3.0, 6]), torch.tensor([2, 4]), torch.tensor([1.0, 8])
    by_npo = NPO(beta=0.5).loss(now, tokens, before)
    assert by_npo.tolist() == pytest.approx([4 * math.log1p(math.exp(-x)) for x in (1, -1)])
    per_token = NPO(beta=2.0, per_token=True).loss(now, tokens, before)
    assert per_token.tolist() == pytest.approx([math.log1p(math.exp(-x)) for x in (2, -1)])
    by_simnpo = SimNPO(beta=4.0, margin=1.5).loss(now, torch.tensor([2, 8]))
    assert by_simnpo.tolist() == pytest.approx([math.log1p(math.exp(-x)) / 2 for x in (4.5, 1.5)])
