"""Master weights: what is trained in bfloat16 and float16 is what float32 would train."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interventions.base import make
from interventions.composition import apply
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.editing.ft import FT
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.master_weights import MasterWeights, master_weights
from interventions.training import writers
from tests.anatomies.texts import tiny_data
from tests.anatomies.tokenizers import tokenizer
from tests.anatomies.zoo import ANATOMIES

KEY = "fedcba9876543210" * 2
# the paper's lr, at which bfloat16 loses most steps
PAPER_FT = FT(layers=(0, 1), steps=25, lr=1e-5)
STEPS = (
    PAPER_FT,
    make("ga", samples=8, batch=2, accumulate=2, last_layers=1, lr=1e-5),
    make("gd", samples=8, batch=2, retain_batch=2, last_layers=1, lr=1e-5),
    make("finetune", steps=4, batch=2, layers=(0, 1), lr=1e-5),
    make("npo", steps=4, batch=2, retain_batch=2, last_layers=1, lr=1e-5),
    make("rmu", layer=2, steps=8, batch=2, lr=1e-5),
)


def small_lm(dtype: torch.dtype, exact: bool = False, name: str = "gpt2") -> LM:
    """Return a small model with weights that a dtype can hold; in float32 where ``exact``."""
    words = tokenizer("bytes+bos")
    words.pad_token = words.eos_token
    model: Any = ANATOMIES[name].model().to(dtype)
    return LM(model.float() if exact else model, words)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The copies that the last training stepped."""
    last_copies: list[Tensor] = []
    rounded = MasterWeights.round

    def noted(masters: MasterWeights) -> None:
        last_copies[:] = masters.tensors
        rounded(masters)

    monkeypatch.setattr(MasterWeights, "round", noted)
    return last_copies


def flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors])


def assert_alike(change: Tensor, expected: Tensor, norm: float, cosine: float) -> None:
    assert (change.norm() / expected.norm()).item() == pytest.approx(1, abs=norm)
    assert (change @ expected / (change.norm() * expected.norm())).item() > cosine


QUICK = ("llama", "gpt2", "gemma2", "mixtral", "opt")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ANATOMIES if name not in QUICK]


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_fts_change_is_that_of_float32_and_is_rounded_once(
    copies: list[Tensor], dtype: torch.dtype, name: str
) -> None:
    """At the paper's learning rate and steps."""
    exact_lm, lm = small_lm(dtype, exact=True, name=name), small_lm(dtype, name=name)
    start = flat(writers(lm.model, PAPER_FT.layers))
    apply(PAPER_FT, exact_lm, tiny_data(), KEY)
    exact = flat(copies)
    apply(PAPER_FT, lm, tiny_data(), KEY)
    assert {copy.dtype for copy in copies} == {torch.float32}
    assert (exact - start).norm() > 0
    assert torch.equal(flat(copies), exact)
    assert torch.equal(flat(writers(lm.model, PAPER_FT.layers)), exact.to(dtype).double())


def test_without_copies_bfloat16_loses_most_of_the_change(copies: list[Tensor]) -> None:
    lm = small_lm(torch.bfloat16)
    start = flat(writers(lm.model, PAPER_FT.layers))
    apply(dataclasses.replace(PAPER_FT, master_weights=False), lm, tiny_data(), KEY)
    assert {weight.dtype for weight in copies} == {torch.bfloat16}
    assert (flat(copies) != start).double().mean() < 0.5


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_method_trains_in_float32(copies: list[Tensor], step: Any) -> None:
    data = dataclasses.replace(tiny_data(), forget_topics=("first", "second"))
    exact_lm = small_lm(torch.bfloat16, exact=True)
    before = {id(weight): weight.detach().clone() for weight in exact_lm.model.parameters()}
    apply(step, exact_lm, data, KEY)
    start, exact = flat([before[id(copy)] for copy in copies]), flat(copies)
    apply(step, small_lm(torch.bfloat16), data, KEY)
    assert {copy.dtype for copy in copies} == {torch.float32}
    assert_alike(flat(copies) - start, exact - start, norm=0.02, cosine=0.97)


def test_in_float32_the_weights_themselves_are_trained(lm: LM, small: Data) -> None:
    weight = nn.Parameter(torch.ones(3))
    with master_weights([weight]) as masters:
        assert masters.tensors[0] is weight and weight.requires_grad
    assert not weight.requires_grad
    plain = apply(FT(steps=2, master_weights=False), LM.load(MODEL), small, KEY)
    assert apply(FT(steps=2), lm, small, KEY).fingerprint() == plain.fingerprint()


def test_gradients_of_several_passes_are_added_in_float32() -> None:
    """1 + 2^-9 is no number of bfloat16."""
    weight = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    with master_weights([weight]) as masters:
        (1.0 * weight).sum().backward()
        (2.0**-9 * weight).sum().backward()
        assert weight.grad is None
        assert masters.tensors[0].grad is not None
        assert masters.tensors[0].grad.item() == 1 + 2.0**-9
    weight.requires_grad_(True)
    weight.sum().backward()
    assert weight.grad is not None  # nothing is moved any more


def test_a_failure_leaves_no_gradients_on() -> None:
    weight = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    with pytest.raises(ZeroDivisionError), master_weights([weight]):
        raise ZeroDivisionError
    assert not weight.requires_grad and not weight._post_accumulate_grad_hooks


def test_adam_in_float16_is_refused() -> None:
    """Its epsilon is 0 there."""
    step = FT(layers=(1,), steps=1, master_weights=False)
    lm = small_lm(torch.float16)
    with pytest.raises(InvalidInput, match=r"^master_weights=False cannot train in float16; use"):
        step.apply(lm, tiny_data())
    assert not any(weight.requires_grad for weight in lm.model.parameters())


def test_adam_trains_in_bfloat16_where_that_is_asked_for() -> None:
    step = FT(layers=(1,), steps=1, master_weights=False)
    lm = small_lm(torch.bfloat16)
    before = lm.fingerprint()
    assert step.apply(lm, tiny_data()).fingerprint() != before


def test_only_the_papers_ft_keeps_the_models_dtype() -> None:
    for name in ("finetune", "ft", "ga", "gd", "npo", "rmu", "simnpo"):
        assert make(name).params()["master_weights"] is True
        assert make(name, "paper").params()["master_weights"] is (name != "ft")
