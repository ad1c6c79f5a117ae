"""Blocks that give more than their hidden states, and heads that are given more."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interventions.errors import InvalidInput
from interventions.partial_pass import block_calls, split_pass


class Pair(nn.Module):
    """A block that gives its inputs beside its states."""

    def forward(self, hidden: Tensor, added: Any) -> tuple[Tensor, Tensor]:
        return hidden + 1, hidden


class Pairs(nn.Module):
    """Two such blocks, the second of which may read what the first gives beside its states."""

    def __init__(self, reads: bool) -> None:
        super().__init__()
        self.layers, self.reads = nn.ModuleList([Pair(), Pair()]), reads
        self.head = Scale()

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, input_ids: Tensor, use_cache: bool) -> SimpleNamespace:
        hidden, inputs = self.layers[0](input_ids, None)
        hidden, inputs = self.layers[1](hidden, inputs if self.reads else None)
        return SimpleNamespace(logits=self.head(hidden + inputs, 10))


class Scale(nn.Module):
    """A head with two arguments."""

    def forward(self, hidden: Tensor, scale: int) -> Tensor:
        return scale * hidden


def test_a_later_pass_has_all_that_a_block_and_the_head_are_given() -> None:
    """By hand: of 7 at the second block's output, and its input 2 or 3, ten times the sum."""
    hidden, later_pass = split_pass(Pairs(reads=False), {"input_ids": torch.tensor([[1, 2]])}, 1)
    assert hidden.tolist() == [[3, 4]]
    assert later_pass(torch.tensor([[7, 7]])).tolist() == [[90, 100]]
    last = (torch.tensor([0]), torch.tensor([1]))
    assert later_pass(torch.tensor([[7, 7]]), last).tolist() == [100]


def test_a_block_that_reads_the_second_output_of_another_is_refused() -> None:
    encoded = {"input_ids": torch.tensor([[1, 2]])}
    assert len(list(block_calls(Pairs(reads=False), [encoded]))) == 1
    with pytest.raises(InvalidInput) as error:
        list(block_calls(Pairs(reads=True), [encoded]))
    assert str(error.value) == (
        "the blocks of Pairs cannot be run one by one:"
        " block 1 reads more of an earlier block than its hidden states"
    )
