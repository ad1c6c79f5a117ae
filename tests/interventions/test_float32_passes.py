"""Passes in float32 through a model in bfloat16: exact, of bounded memory, and without a trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interventions.composition import apply
from interventions.editing.ft import FT, train_on_answers
from interventions.float32_passes import _Casts, float32_passes
from interventions.lm import LM
from interventions.training import writers
from tests.anatomies.texts import tiny_data
from tests.anatomies.zoo import ANATOMIES
from tests.interventions.test_master_weights import KEY, small_lm

TOKENS = torch.tensor([[5, 6, 7, 8, 9]])


def logits(lm: LM) -> Tensor:
    result: Tensor = lm.model(input_ids=TOKENS, use_cache=False).logits
    return result


@pytest.mark.parametrize("name", ANATOMIES)
@torch.no_grad()
def test_a_pass_is_that_of_the_same_weights_in_float32(name: str) -> None:
    lm, exact = (small_lm(torch.bfloat16, exact=exact, name=name) for exact in (False, True))
    with float32_passes(lm.model, {}):
        assert torch.equal(logits(lm), logits(exact))
    assert logits(lm).dtype == torch.bfloat16


def test_afterwards_the_model_has_its_own_weights_also_where_a_pass_failed() -> None:
    lm = small_lm(torch.bfloat16, name="llama")
    before = dict(lm.model.named_parameters())
    broken = lm.model.model.layers[1].mlp
    broken.register_forward_pre_hook(lambda *inputs: 1 / 0)
    with pytest.raises(ZeroDivisionError), float32_passes(lm.model, {}):
        logits(lm)
    after = dict(lm.model.named_parameters())
    assert all(after[name] is weight for name, weight in before.items())
    assert len(after) == len(before)
    assert not lm.model.model.layers[0]._forward_pre_hooks
    assert not lm.model.model.layers[0]._forward_hooks


def test_a_backward_pass_holds_no_weight_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the trained copy is one: of the others it holds what they are made again from."""
    lm = small_lm(torch.bfloat16, name="llama")
    (weight,) = writers(lm.model, [0])
    copy = nn.Parameter(weight.detach().float())
    held: list[Tensor] = []
    pack = _Casts.pack

    def noted(casts: _Casts, saved: Tensor) -> Any:
        packed = pack(casts, saved)
        if isinstance(packed, Tensor):
            held.append(packed)
        return packed

    monkeypatch.setattr(_Casts, "pack", noted)
    with float32_passes(lm.model, {weight: copy}):
        loss = logits(lm).square().sum()
    shapes = {tuple(sorted(tensor.shape)) for tensor in lm.model.parameters() if tensor.dim() == 2}
    weights = [tensor for tensor in held if tuple(sorted(tensor.shape)) in shapes]
    assert held
    assert all(tensor.untyped_storage().data_ptr() == copy.data_ptr() for tensor in weights)
    loss.backward()
    assert copy.grad is not None and weight.grad is None


def test_gradients_are_those_of_float32() -> None:
    lm, exact = (small_lm(torch.bfloat16, exact=exact, name="gemma2") for exact in (False, True))
    (weight,), (expected,) = writers(lm.model, [0]), writers(exact.model, [0])
    copy = nn.Parameter(weight.detach().float())
    with float32_passes(lm.model, {weight: copy}):
        loss = logits(lm).square().sum()
    loss.backward()
    expected.requires_grad_(True)
    logits(exact).square().sum().backward()
    assert copy.grad is not None and expected.grad is not None
    assert torch.equal(copy.grad, expected.grad)


def test_of_the_blocks_the_one_that_runs_is_in_float32() -> None:
    lm = small_lm(torch.bfloat16, name="llama")
    dtypes: list[set[torch.dtype]] = []

    def note(module: nn.Module, inputs: Any) -> None:
        dtypes.append({weight.dtype for weight in module.parameters()})
        dtypes.append({weight.dtype for weight in lm.model.model.layers[0].parameters()})

    with float32_passes(lm.model, {}):
        handle = lm.model.model.layers[1].register_forward_pre_hook(note)
        logits(lm)
        handle.remove()
    assert dtypes == [{torch.float32}, {torch.bfloat16}]


def test_a_block_that_runs_again_has_one_cast_of_each_weight_without_a_gradient() -> None:
    linear, casts = nn.Linear(2, 2).bfloat16(), _Casts({})
    handles = casts.hook(linear, [linear])
    noted: list[nn.Parameter] = []  # they live on, so that no storage has the address of another

    def note(module: nn.Module, inputs: Any) -> None:
        noted.extend(module.parameters())
        assert len(casts._weights) == 2

    handles.append(linear.register_forward_pre_hook(note))
    for _ in range(2):
        assert linear(torch.ones(1, 2)).dtype is torch.float32
        assert casts._weights == {}
    for handle in handles:
        handle.remove()
    assert [weight.requires_grad for weight in noted] == [False] * 4
    assert {weight.dtype for weight in linear.parameters()} == {torch.bfloat16}


def test_between_two_steps_the_model_computes_as_it_is() -> None:
    """What a study measures between two steps is what the model would be worth if it ended."""
    lm, dtypes = small_lm(torch.bfloat16, name="llama"), set()
    train_on_answers(
        lm,
        [("The capital of France is", " Paris")],
        writers(lm.model, [0]),
        steps=2,
        lr=1e-3,
        after_step=lambda steps_done: dtypes.add(logits(lm).dtype),
    )
    assert dtypes == {torch.bfloat16}


def test_without_copies_the_passes_are_the_models_own() -> None:
    results = []
    for copies in (True, False):
        lm = small_lm(torch.bfloat16, name="llama")
        apply(FT(layers=(0,), steps=2, master_weights=copies), lm, tiny_data(), KEY)
        results.append(lm.fingerprint())
    assert results[0] != results[1]
