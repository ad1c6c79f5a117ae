"""The search for targets: on a small model, and what MEMIT and AlphaEdit ask of it."""

import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from interventions.data.base import Edit
from interventions.editing import subject_targets
from interventions.editing.alphaedit import AlphaEdit
from interventions.editing.memit import MEMIT
from interventions.editing.prompts import EditPrompts
from interventions.editing.subject_targets import TargetSearch, random_prefixes
from tests.interventions.editing.reference import Reference
from tests.interventions.merging.branches import small_lm

EDITS = (
    Edit("Ana Bell", "The home of Ana Bell is", "a mill", "the hill", ("",)),
    Edit("Bo", "Bo likes", "tea", "milk", ("",)),
)


@pytest.mark.parametrize("method", [MEMIT, AlphaEdit])
def test_targets_are_searched_after_the_last_layer_with_the_steps_own_fields(
    method: type[MEMIT | AlphaEdit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TargetSearch, "targets", lambda *arguments: arguments)
    step = method(layers=(1, 4, 2), steps=7, lr=0.3, weight_decay=0.02, kl_factor=0.05, clamp=0.7)
    lm: Any = object()
    expected = TargetSearch(
        layer=4, steps=7, lr=0.3, weight_decay=0.02, kl_factor=0.05, clamp=0.7, name=step.name
    )
    search: Any = step.targets(lm, [], ["", "a"])
    assert search == (expected, lm, [], ["", "a"])


@pytest.mark.parametrize(
    ("befores", "weight_decay", "kl_factor", "clamp"),
    [
        ([""], 2.0, 20.0, 9.0),
        (["", "At night. "], 0.5, 1.0, 0.02),
    ],
)
def test_targets_on_a_small_model_are_those_of_a_plain_optimization(
    befores: list[str], weight_decay: float, kl_factor: float, clamp: float
) -> None:
    lm = small_lm("llama")
    memit = MEMIT(
        layers=(0,), steps=4, lr=0.1, weight_decay=weight_decay, kl_factor=kl_factor, clamp=clamp
    )
    reference = Reference(lm)
    ours = memit.targets(lm, EDITS, befores)
    for edit, target in zip(EDITS, ours, strict=True):
        theirs, _ = reference.target(memit, edit, befores)
        torch.testing.assert_close(target.double(), theirs, rtol=1e-3, atol=1e-3)


def test_an_edit_is_done_below_the_loss_that_is_enough_and_not_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The losses are put in place of what the model says, with its gradient."""
    lm = small_lm("llama")
    losses = torch.tensor([0.05, 0.0499])

    def constant(self: EditPrompts, logits: Tensor) -> Tensor:
        return losses + (logits.sum() - logits.sum().detach())

    monkeypatch.setattr(EditPrompts, "answer_losses", constant)
    search = TargetSearch(0, 3, lr=0.1, weight_decay=0.0, kl_factor=0.0, clamp=9.0, name="memit")
    start = TargetSearch(0, 1, lr=0.1, weight_decay=0.0, kl_factor=0.0, clamp=9.0, name="memit")
    moved = (search.targets(lm, EDITS) - start.targets(lm, EDITS)).abs().amax(1)
    assert moved[0] > 0.1 and moved[1] == 0


def test_prefixes_are_what_the_model_draws_after_five_beginnings_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: dict[str, Any] = {}

    def encode(texts: list[str], **settings: str) -> dict[str, object]:
        calls["encode"] = texts, settings
        return {"input_ids": "ids"}

    def generate(**settings: object) -> list[str]:
        calls["generate"] = settings
        return [f" {text} went " for text in calls["encode"][0]]

    def batch_decode(texts: list[str], skip_special_tokens: bool) -> list[str]:
        return [text if skip_special_tokens else f"<s>{text}" for text in texts]

    tokenizer = SimpleNamespace(pad_token_id=7, batch_decode=batch_decode)
    lm = SimpleNamespace(
        encode=encode, model=SimpleNamespace(generate=generate), tokenizer=tokenizer
    )
    monkeypatch.setattr(subject_targets, "plain_generation", contextlib.nullcontext)
    starts = ["The", "Therefore", "Because", "I", "You", "The"]
    expected = ["", *(f"{start} went. " for start in starts)]
    assert random_prefixes(cast(Any, lm), 6, 3) == expected
    assert calls["encode"] == (starts, {"padding_side": "left"})
    drawn = {"do_sample": True, "max_new_tokens": 3, "min_new_tokens": 3, "pad_token_id": 7}
    assert calls["generate"] == {"input_ids": "ids", **drawn}
    assert random_prefixes(cast(Any, None), 0, 3) == [""]
