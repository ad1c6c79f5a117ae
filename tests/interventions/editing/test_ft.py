"""FT: its loss, step after step, and what it trains."""

from typing import Any

import pytest
import torch
from torch import Tensor

from interventions.anatomy import blocks, down_projection
from interventions.composition import apply
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.editing.ft import FT
from interventions.lm import LM
from tests.interventions.comparison import changed_weights, unpadded_loss

KEY = "fedcba9876543210" * 2


def rows_of(lm: LM, data: Data) -> list[tuple[list[int], int]]:
    """Return (ids of prompt and new answer, length of the prompt) of every edit."""
    encode = lm.tokenizer.encode
    return [
        (encode(f"{edit.prompt} {edit.target}"), len(encode(edit.prompt))) for edit in data.edits
    ]


def test_the_edit_loss_counts_answer_tokens_only(lm: LM, small: Data) -> None:
    pairs = [(edit.prompt, f" {edit.target}") for edit in small.edits]
    encoded, labels = lm.encode_pairs(pairs)
    losses, counted = lm.token_losses(encoded, labels)
    expected = unpadded_loss(lm, rows_of(lm, small)).item()
    assert (losses.sum() / counted.sum()).item() == pytest.approx(expected, abs=1e-5)


def test_fts_losses_are_those_of_plain_adam_over_unpadded_edits_step_after_step(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam without weight decay, in float64, on two down-projections, all edits in every step."""
    losses: list[float] = []
    backward = Tensor.backward

    def noted(loss: Tensor, *args: Any, **kwargs: Any) -> None:
        losses.append(loss.item())
        backward(loss, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "backward", noted)
        edited = apply(FT(layers=(1, 3), steps=5, lr=2e-3), lm, small, KEY)
    reference = LM.load(MODEL)
    reference.model.double()
    weights = [reference.model.model.layers[i].mlp.down_proj.weight for i in (1, 3)]
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.Adam(weights, lr=2e-3, weight_decay=0.0)
    expected: list[float] = []
    for _ in range(5):
        loss = unpadded_loss(reference, rows_of(reference, small))
        expected.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses == pytest.approx(expected, rel=1e-3)
    after = unpadded_loss(edited, rows_of(edited, small)).item()
    assert after == pytest.approx(
        unpadded_loss(reference, rows_of(reference, small)).item(), rel=1e-3
    )
    assert after < losses[-1] < losses[0]


def test_weights_are_frozen_again_after_the_training(lm: LM, small: Data) -> None:
    edited = FT(steps=1).apply(lm, small)
    assert not [p for p in edited.model.parameters() if p.requires_grad]


def test_ft_changes_the_named_down_projections_only(lm: LM, small: Data) -> None:
    assert changed_weights(apply(FT(layers=(1, 4), steps=2), lm, small, KEY)) == {
        f"model.layers.{layer}.mlp.down_proj.weight" for layer in (1, 4)
    }
    assert down_projection(blocks(lm.model)[1]) is lm.model.model.layers[1].mlp.down_proj
