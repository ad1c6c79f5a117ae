"""Losses of texts in batches and passes, and the steps that stand for all in a rehearsal."""

import dataclasses
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from interventions.base import Intervention
from interventions.callbacks import watched
from interventions.composition import apply
from interventions.data.base import Data
from interventions.lm import LM
from interventions.loops import rehearsing
from interventions.unlearning import text_losses
from interventions.unlearning.npo import NPO
from interventions.unlearning.simnpo import SimNPO
from tests.interventions.passes import NotedPasses
from tests.interventions.unlearning.reference import KEY


@pytest.mark.parametrize("method", [NPO, SimNPO])
def test_the_steps_with_the_longest_texts_of_both_kinds_stand_for_all(
    lm: LM, small: Data, method: type[NPO] | type[SimNPO]
) -> None:
    """Characters of the four steps, to forget and to retain: 10 + 40, 30 + 10, 20 + 10, 5 + 5."""
    text = "the old mill stands by the river and the road"
    forget, retain = ((10, 30, 20, 5), (40, 10, 10, 5))
    data = dataclasses.replace(
        small,
        forget=tuple(text[:length] for length in forget),
        retain=tuple(text[:length] for length in retain),
    )
    step = method(steps=4, batch=1, retain_batch=1, last_layers=1)
    passes, reported = NotedPasses(), list[int]()

    def callback(reporting: Intervention, done: int, intermediate: LM) -> None:
        reported.append(done)

    with rehearsing(passes), watched(callback):
        apply(step, lm, data, KEY)
    assert reported == [1, 2]
    # before these NPO asks the base model
    assert passes.ended[-1] == ((30 + 10) / 40, 2)


def test_a_pass_has_as_many_texts_as_fit_and_one_at_least(
    lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["the old mill stands by the river", "the", "the old road"]
    length = lm.encode(texts, 64)["input_ids"].shape[1]
    for most, sizes in ((2 * length, [2, 1]), (2 * length - 1, [1, 1, 1]), (1, [1, 1, 1])):
        monkeypatch.setattr(text_losses, "PASS_TOKENS", most)
        passes = list(text_losses.text_passes(lm, texts, 64))
        assert [len(sums) for _, sums, _ in passes] == sizes
        assert [part.start for part, _, _ in passes] == [sum(sizes[:n]) for n in range(len(sizes))]


def test_a_text_of_one_token_counts_as_one_of_loss_0(lm: LM) -> None:
    ((_, sums, tokens),) = text_losses.text_passes(lm, ["the old mill", "the"], 1)
    assert sums.tolist() == [0, 0] and tokens.tolist() == [1, 1]


def test_the_two_longest_batches_stand_for_all_that_are_asked_before_the_training(lm: LM) -> None:
    """Characters of the batches, padding included: 2 x 10, 2 x 20, 2 x 30 and 5."""
    text = "the old mill stands by the river"
    texts = [text[:length] for length in (10, 5, 20, 5, 30, 5, 5)]
    passes = NotedPasses()
    with rehearsing(passes):
        text_losses.text_losses(lm, texts, 2, 64)
    assert passes.ended == [((2 * 10 + 5) / (2 * 20), 2)]


def test_the_losses_of_all_batches_and_passes_are_in_the_order_of_the_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def passes_of_two(
        lm: LM, texts: list[str], max_tokens: int
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        assert max_tokens == 9
        for start in range(0, len(texts), 2):
            part = slice(start, start + 2)
            lengths = torch.tensor([float(len(text)) for text in texts[part]])
            yield part, lengths, lengths

    monkeypatch.setattr(text_losses, "text_passes", passes_of_two)
    lm: Any = SimpleNamespace(device="cpu")
    texts = ["a" * length for length in (3, 1, 4, 1, 5, 9, 2, 6)]
    for batch in (3, 5, 8):
        assert text_losses.text_losses(lm, texts, batch, 9).tolist() == [3, 1, 4, 1, 5, 9, 2, 6]
