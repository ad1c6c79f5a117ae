"""Which outputs of a matrix may be the inputs of the next, by the sizes and by names."""

import pytest
import torch
from torch import nn

from interventions.feeders import Feeder, _norms, _rows, matrix_feeders
from interventions.weight_matrix import WeightMatrix


@pytest.mark.parametrize(
    ("kind", "outputs", "inputs", "heads", "rows"),
    [
        ("all", 4, 4, 2, [0, 1, 2, 3]),
        ("all", 8, 4, 2, None),
        ("last", 6, 4, 2, [2, 3, 4, 5]),
        ("last", 4, 4, 2, None),
        ("odd", 8, 4, 2, [1, 3, 5, 7]),
        ("odd", 6, 4, 2, None),
        ("odd", 4, 8, 2, None),
        # by head: query, key and value of two numbers each
        ("by-head", 12, 4, 2, [4, 5, 10, 11]),
        ("by-head", 8, 4, 2, None),
        # four query heads of two numbers read two heads of values
        ("grouped", 4, 8, 4, [0, 1, 0, 1, 2, 3, 2, 3]),
        ("grouped", 2, 8, 4, [0, 1, 0, 1, 0, 1, 0, 1]),
        ("grouped", 1, 4, 4, [0, 0, 0, 0]),
        ("grouped", 8, 8, 4, None),
        ("grouped", 0, 8, 4, None),
        ("grouped", 3, 8, 4, None),
        ("grouped", 6, 8, 4, None),  # three heads of values for four of queries
        ("grouped", 4, 9, 4, None),
        # behind eight of the queries and four of the keys
        ("grouped-last", 16, 8, 4, [12, 13, 12, 13, 14, 15, 14, 15]),
        ("grouped-last", 24, 8, 4, None),
    ],
)
def test_an_input_is_the_output_that_the_sizes_allow(
    kind: str, outputs: int, inputs: int, heads: int, rows: list[int] | None
) -> None:
    candidates = [candidate.tolist() for candidate in _rows(kind, outputs, inputs, heads)]
    assert candidates == ([] if rows is None else [rows])


def test_matrices_are_paired_within_the_module_that_holds_both() -> None:
    mlp = nn.ModuleDict({"up_proj": nn.Linear(4, 6), "down_proj": nn.Linear(6, 4)})
    attention = nn.ModuleDict({"v_proj": nn.Linear(4, 2), "o_proj": nn.Linear(4, 4)})
    block = nn.ModuleDict({"mlp": mlp, "attention": attention, "fc2": nn.Linear(6, 4)})
    pairs = list(matrix_feeders(block, heads=2))
    assert [(names, fed) for _, names, fed in pairs] == [
        (("mlp.up_proj",), "mlp.down_proj"),
        (("attention.v_proj",), "attention.o_proj"),
    ]
    rows = [feeder.rows for feeders, _, _ in pairs for feeder in feeders]
    assert [row.tolist() for row in rows if row is not None] == [[*range(6)], [0, 1, 0, 1]]
    alone = nn.ModuleDict({"fc1": nn.Linear(4, 6), "fc2": nn.Linear(6, 4)})
    assert [(names, fed) for _, names, fed in matrix_feeders(alone, 2)] == [(("fc1",), "fc2")]


def test_norms_are_the_leaves_with_a_weight_of_one_dimension() -> None:
    first, second = nn.LayerNorm(3), nn.RMSNorm(3)
    block = nn.Sequential(first, nn.Linear(3, 3), nn.Sequential(second), nn.ReLU())
    block.weight = nn.Parameter(torch.ones(3))  # of a module with children
    assert _norms(block) == [first, second]


FACTOR = torch.tensor([2.0, 4.0, 4.0])


def test_a_matrix_is_scaled_by_its_outputs_with_its_bias() -> None:
    linear = nn.Linear(2, 3)
    nn.init.ones_(linear.weight)
    nn.init.constant_(linear.bias, 3)
    Feeder(WeightMatrix(linear)).scale(FACTOR)
    assert linear.weight.tolist() == [[2, 2], [4, 4], [4, 4]]
    assert linear.bias.tolist() == [6, 12, 12]
    Feeder(WeightMatrix(linear), torch.tensor([2, 0, 0])).scale(FACTOR)
    assert linear.weight.tolist() == [[8, 8], [4, 4], [8, 8]]
    assert linear.bias.tolist() == [24, 12, 24]


def test_a_norm_that_adds_one_is_scaled_with_it() -> None:
    norm = nn.RMSNorm(3)
    for added_one, weight in ((False, [2, 4, 4]), (True, [5, 19, 19])):
        Feeder(norm, added_one=added_one).scale(FACTOR)
        assert norm.weight.tolist() == weight


def test_values_are_shared_by_the_inputs_that_are_one_output() -> None:
    values = torch.tensor([1.0, 3.0, 5.0])
    assert Feeder(nn.RMSNorm(3)).shared(values).tolist() == [1, 3, 5]
    by_output = Feeder(nn.Linear(2, 4), torch.tensor([3, 1, 3]))
    assert by_output.shared(values).tolist() == [3, 3, 3]
    by_output = Feeder(nn.Linear(2, 4), torch.tensor([3, 3, 0]))
    assert by_output.shared(values).tolist() == [2, 2, 5]
