"""Which norms matrices read, and whether a scale moves: on blocks whose outputs are counted."""

import copy
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from interventions.feeders import BlockReaders, Feeder, feeders
from interventions.weight_matrix import WeightMatrix
from tests.interventions.test_weight_matrix import Experts


class Reading(nn.Module):
    """A block that outputs ``matrix_share`` of a norm times a matrix, plus ``bare_share`` of it.

    The norm's second weight and the matrix's are 1, and scaled by 2 and 1/2 where a scale is tried.
    """

    def __init__(
        self, matrix_share: float, bare_share: float, constant: float, added: float = 0.0
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2)
        self.up_proj = nn.Linear(2, 1, bias=False)
        self.shares, self.constant, self.added = (matrix_share, bare_share), constant, added
        nn.init.constant_(self.norm.weight, 1 - added)
        nn.init.ones_(self.up_proj.weight)

    def forward(self, hidden: Tensor) -> tuple[Tensor]:
        norm = self.norm.weight[1].float() + self.added
        matrix_share, bare_share = self.shares
        first = matrix_share * norm * self.up_proj.weight[0, 1].float() + bare_share * norm
        return (torch.stack([first, torch.tensor(self.constant)]),)


def can_scale(block: Reading, added_one: bool = False) -> bool:
    readers = BlockReaders(block)
    readers.note_call(block, (torch.ones(1),), {})
    return readers.scales(Feeder(block.norm, added_one=added_one), ["up_proj"])


@pytest.mark.parametrize(
    ("matrix_share", "bare_share", "constant", "expected"),
    [
        (600, 0, 0, True),
        # the output is (600, 800): what moves may be a thousandth of its length, 1000
        (599, 1, 800, True),
        (599, 1, 799, False),
        # a tenth of what scaling the norm alone moves
        (9, 1, 5000, True),
        (8.5, 1, 5000, False),
        (1, 9, 50000, False),
        # nothing that the first call reads
        (0, 0, 800, False),
        (0.5, 0.5, 800, False),
        (1, 0, 800, True),
    ],
)
def test_a_scale_moves_where_the_output_hardly_does(
    matrix_share: float, bare_share: float, constant: float, expected: bool
) -> None:
    assert can_scale(Reading(matrix_share, bare_share, constant)) is expected


@pytest.mark.parametrize(
    ("dtype", "added", "bare_share", "expected"),
    [
        (torch.bfloat16, 1, 20, True),
        (torch.bfloat16, 1, 20.125, False),
        (torch.bfloat16, 0, 2, False),
        (torch.float32, 1, 2, False),
        (torch.float32, 1, 1, True),
    ],
)
def test_one_plus_a_weight_in_half_precision_may_move_the_output_by_a_fiftieth(
    dtype: torch.dtype, added: int, bare_share: float, expected: bool
) -> None:
    block = Reading(600 - bare_share, bare_share, 800, added).to(dtype)
    assert can_scale(block, added_one=bool(added)) is expected


@pytest.mark.parametrize("added_one", [False, True])
def test_a_trial_leaves_the_block_as_it_was(added_one: bool) -> None:
    block = Reading(600, 0, 800, int(added_one)).bfloat16()
    nn.init.constant_(block.norm.weight, 0.001)  # is rounded where one is added
    nn.init.constant_(block.norm.bias, 3)
    before = copy.deepcopy(block.state_dict())
    can_scale(block, added_one)
    for name, values in block.state_dict().items():
        assert torch.equal(values, before[name])


class TriedFeeder(Feeder):
    """A feeder that notes what it is scaled by."""

    factors: ClassVar[list[list[float]]] = []

    def scale(self, factor: Tensor) -> None:
        self.factors.append(factor.tolist())
        super().scale(factor)


@pytest.mark.parametrize(
    ("rows", "factor"),
    [(None, [1, 2, 4, 1, 2]), ([3, 3, 1, 2, 2], [1, 1, 2, 4, 4])],
)
def test_tried_is_a_power_of_two_for_every_output_and_then_its_inverse(
    rows: list[int] | None, factor: list[int]
) -> None:
    block = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    feeder = TriedFeeder(WeightMatrix(block[0]), None if rows is None else torch.tensor(rows))
    feeder.factors.clear()
    readers = BlockReaders(block)
    readers.note_call(block, (torch.ones(1, 3),), {})
    assert readers.scales(feeder, ["1"]) is (rows is None)
    assert feeder.factors == [factor, [1 / value for value in factor]]


class HiddenLinear(nn.Linear):
    """A linear layer whose argument may be given by the name that transformers' modules use."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return super().forward(hidden_states)


class ReadExperts(Experts):
    """Fused experts that only read their input."""

    _apply_gate = None

    def forward(self, hidden: Tensor) -> None:
        pass


class Shapes(nn.Module):
    """A block whose matrices get a norm's output as it is, as a view, a part of it or a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(3), nn.LayerNorm(3)
        self.whole, self.view, self.part = (HiddenLinear(3, 3) for _ in range(3))
        self.copied, self.by_name = HiddenLinear(3, 3), HiddenLinear(3, 3)
        self.mlp = nn.ModuleDict({"gate": nn.Linear(3, 2), "experts": ReadExperts()})

    def forward(self, hidden: Tensor, *, times: int) -> Tensor:
        first, second = self.first(hidden), self.second(hidden)
        self.whole(first)
        self.view(first.view(-1, 3))
        self.part(first[:1])
        self.copied(first.clone())
        self.by_name(hidden_states=second)
        self.mlp["gate"](second)
        self.mlp["experts"](second)
        return times * hidden


def test_a_matrix_reads_the_norm_whose_output_is_its_input_unchanged() -> None:
    block = Shapes()
    with feeders(block) as readers:
        block(torch.ones(2, 4, 3), times=2)
    assert readers.norms == {
        "whole": block.first,
        "view": block.first,
        "by_name": block.second,
        "mlp.experts.0.up_proj": block.second,
        "mlp.experts.1.up_proj": block.second,
    }
    gate = block.mlp["gate"].weight
    assert list(readers.routers) == [block.second]
    assert [weight is gate for weight in readers.routers[block.second]] == [True]


def test_a_scale_moves_out_of_the_named_matrices_and_a_norms_routers() -> None:
    block = Shapes()
    with feeders(block) as readers:
        block(torch.ones(2, 4, 3), times=2)
    whole, view, gate = block.whole.weight, block.view.weight, block.mlp["gate"].weight
    for target, names, expected in (
        (block.second, ["view", "whole"], [whole, view, gate]),
        (block.first, ["whole"], [whole]),
        (WeightMatrix(block.by_name), ["view"], [view]),
    ):
        weights = readers.weights(Feeder(target), names)
        assert [id(weight) for weight in weights] == [id(weight) for weight in expected]


def test_the_first_call_is_tried_and_the_blocks_hooks_end_with_it() -> None:
    block = Shapes()
    with feeders(block) as readers:
        block(torch.ones(1, 1, 3), times=2)
        block(torch.ones(1, 1, 3), times=5)
    assert readers._output().tolist() == [[[2, 2, 2]]]
    with feeders(block) as later_readers:
        pass
    block(torch.ones(1, 1, 3), times=3)
    assert (later_readers.norms, later_readers.routers, later_readers._call) == ({}, {}, None)
    assert not any(module._forward_pre_hooks for module in block.modules())
    assert not any(module._forward_hooks for module in block.modules())
