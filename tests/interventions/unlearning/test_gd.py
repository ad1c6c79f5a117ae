"""GD against its equation.

Liu et al. 2022, "Continual Learning and Private Unlearning", section 4.1.
"""

import dataclasses
from typing import Any

import pytest
import torch

from interventions.composition import apply
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.lm import LM
from interventions.unlearning.ga import GA
from interventions.unlearning.gd import GD
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


def test_gds_losses_are_those_of_unpadded_texts_step_after_step(
    lm: LM, small: Data, losses: Losses
) -> None:
    """Six texts to forget, two per step; five to retain, three per step, round and round."""
    data = dataclasses.replace(small, retain=of_unlike_lengths(small.retain[:5]))
    gd = GD(
        lr=1e-3, samples=6, batch=2, retain_batch=3, retain_weight=2.5, last_layers=2, max_tokens=16
    )
    stepped = apply(gd, lm, data, KEY)
    ours = list(losses.steps)
    reference = Reference(16)
    optimizer, theirs = PlainAdamW(reference.train(list(last_blocks(2))), 1e-3, 0.0), []
    for i in range(3):
        retain = [data.retain[(3 * i + j) % 5] for j in range(3)]
        loss = -reference.text_loss(data.forget[2 * i : 2 * i + 2]) + 2.5 * reference.text_loss(
            retain
        )
        theirs.append(loss.item())
        optimizer.step(loss)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-5)
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert changed_weights(stepped) == last_blocks(2)


def test_a_step_of_gd_is_the_mean_over_accumulated_batches(
    lm: LM, small: Data, losses: Losses
) -> None:
    gd = GD(samples=4, batch=2, accumulate=2, retain_batch=3, retain_weight=2.5, last_layers=2)
    apply(gd, lm, small, KEY)
    reference = Reference(64)
    forget, retain = small.forget, small.retain
    halves = [
        2.5 * reference.text_loss(retain[:3]) - reference.text_loss(forget[:2]),
        2.5 * reference.text_loss(retain[3:6]) - reference.text_loss(forget[2:4]),
    ]
    assert losses.steps == pytest.approx([torch.stack(halves).mean().item()], rel=1e-4)


def test_one_step_of_gd_is_one_plain_adamw_step(lm: LM, small: Data) -> None:
    gd = GD(
        lr=1e-3, samples=4, batch=4, retain_batch=5, retain_weight=3.0, last_layers=2, max_tokens=64
    )
    stepped = apply(gd, lm, small, KEY)
    reference = Reference(64)
    optimizer = PlainAdamW(reference.train(list(last_blocks(2))), 1e-3, 0.0)
    optimizer.step(
        -reference.text_loss(small.forget[:4]) + 3.0 * reference.text_loss(small.retain[:5])
    )
    assert_stepped_alike(stepped, optimizer)
    assert changed_weights(stepped) == last_blocks(2)


def test_gd_that_retains_nothing_is_ga(lm: LM, small: Data) -> None:
    shared: dict[str, Any] = {
        "lr": 1e-3,
        "samples": 8,
        "batch": 4,
        "last_layers": 3,
        "max_tokens": 64,
    }
    ascended = apply(GA(**shared), LM.load(MODEL), small, KEY).model.state_dict()
    for name, weight in (
        apply(GD(retain_weight=0.0, **shared), lm, small, KEY).model.state_dict().items()
    ):
        torch.testing.assert_close(weight, ascended[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("last_layers", [1, 6])
@pytest.mark.parametrize("method", [GA, GD])
def test_only_the_last_blocks_change(lm: LM, small: Data, method: Any, last_layers: int) -> None:
    assert changed_weights(
        apply(method(samples=4, last_layers=last_layers), lm, small, KEY)
    ) == last_blocks(last_layers)
