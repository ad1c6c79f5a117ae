"""Blocks that cannot be run one by one are refused on the skeleton, and no other model is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from interventions import one_by_one
from interventions.anatomy import blocks
from interventions.compression.awq import AWQ
from interventions.compression.gptq import GPTQ
from interventions.compression.sparsegpt import SparseGPT
from interventions.compression.wanda import Wanda
from interventions.errors import InvalidInput
from interventions.partial_pass import block_calls, check_order
from tests.anatomies.zoo import ANATOMIES


def skeleton(name: str) -> Any:
    """Return a model of the zoo on the meta device."""
    anatomy = ANATOMIES[name]
    kind = getattr(transformers, anatomy.family.removesuffix("Text") + anatomy.head)
    with torch.device("meta"):
        return kind(anatomy.config())


@pytest.mark.parametrize("name", sorted(ANATOMIES))
def test_every_familys_skeleton_is_asked_and_accepted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked: one of the passes came to its end."""
    orders: list[list[int]] = []

    def noted(model: nn.Module, order: list[int]) -> None:
        orders.append(order)
        check_order(model, order)

    monkeypatch.setattr(one_by_one, "check_order", noted)
    model = skeleton(name)
    one_by_one.check_one_by_one(model)
    assert orders == [[0, 1, 2]]
    assert model.training
    assert not any("forward" in vars(block) for block in blocks(model))


class SharedValues(nn.Module):
    """A block that also gives what the next one reads, and may be given it."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.up_proj = linear

    def forward(self, hidden: Tensor, shared: Tensor | None = None) -> tuple[Tensor, Tensor]:
        values = self.up_proj(hidden) if shared is None else shared
        return hidden + values, values


class Toy(nn.Module):
    """Calls its blocks in an order, and may hand the values of each to the next."""

    def __init__(self, order: list[int], shares: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 8)
        self.layers = nn.ModuleList(SharedValues(nn.Linear(8, 8)) for _ in range(3))
        self.order, self.shares = order, shares

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, use_cache: bool = False
    ) -> Tensor:
        hidden: Tensor = self.embedding(input_ids)
        shared = None
        for index in self.order:
            hidden, values = self.layers[index](hidden, shared)
            shared = values if self.shares else None
        return hidden


ONCE = [0, 1, 2]
STEPS = [Wanda(), SparseGPT(), GPTQ(group=-1), AWQ(group=-1)]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@pytest.mark.parametrize(
    ("order", "shares", "reason"),
    [
        ([0, 1, 1, 2], False, "it calls its 3 blocks in the order 0, 1, 1, 2"),
        ([2, 1, 0], False, "it calls its 3 blocks in the order 2, 1, 0"),
        (ONCE, True, "block 1 reads more of an earlier block than its hidden states"),
    ],
)
def test_a_step_that_runs_blocks_one_by_one_refuses_others_before_weights_are_loaded(
    step: Any, order: list[int], shares: bool, reason: str
) -> None:
    with torch.device("meta"):
        model = Toy(order, shares)
    message = f"^the blocks of Toy cannot be run one by one: {reason}$"
    with pytest.raises(InvalidInput, match=message):
        step.check(model)
    assert not any("forward" in vars(block) for block in model.layers)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_blocks_that_give_more_than_anybody_reads_are_accepted(step: Any) -> None:
    with torch.device("meta"):
        step.check(Toy(ONCE, shares=False))


def test_what_a_block_gives_beside_hidden_states_is_not_taken_from_another_pass() -> None:
    """With weights: the recorded values would be those of the one token of the first pass."""
    encoded = {"input_ids": torch.tensor([[1, 2, 3]]), "attention_mask": torch.ones(1, 3).long()}
    with torch.no_grad():
        with pytest.raises(InvalidInput, match="block 1 reads more of an earlier block"):
            list(block_calls(Toy(ONCE, shares=True), [encoded]))
        assert len(list(block_calls(Toy(ONCE, shares=False), [encoded]))) == 1


def test_a_model_that_cannot_run_without_weights_is_left_to_the_pass_with_them() -> None:
    class Asks(Toy):
        def forward(self, input_ids: Tensor, *rest: Any, **named: Any) -> Tensor:
            assert int(input_ids.sum()) >= 0
            return super().forward(input_ids)

    with torch.device("meta"):
        one_by_one.check_one_by_one(Asks([2, 1, 0], shares=False))
