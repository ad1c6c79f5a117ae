"""GPTQ against a reference written from the paper: float64, plain loops.

Against the authors' code: test_gptq_authors.py.

Sources, by the names used below:
  GPTQ: Frantar et al., "GPTQ", ICLR 2023 (arXiv 2210.17323v2), equations 2 and 3, section 4.
"""

import pytest
import torch
from torch import Tensor

from interventions.compression.gptq import GPTQ
from interventions.compression.quantization import fit_grid
from interventions.compression.wanda import mask
from tests.interventions.compression.reference import (
    Layers,
    damped,
    distance,
    distinct_per_group,
    greatest_made_positive,
    random_layer,
    range_grid,
    spread,
    squared_error,
    to_nearest,
    with_unseen_inputs,
)


def gptq_equation_2(
    weight: Tensor,
    gram: Tensor,
    bits: int,
    group: int,
    symmetric: bool,
    act_order: bool,
    keep_zeros: bool,
    damp: float = 0.01,
    static_groups: bool = False,
) -> Tensor:
    """GPTQ, equations 2 and 3.

    w_q -> quant(w_q), delta_F = -(w_q - quant(w_q)) / [H_F^-1]_qq (H_F^-1)_:,q

    The same order for all rows (section 3.3, step 1). Grids of the weights as they were, or of
    those of the columns ahead as they are at the start of each 128 columns.
    """
    columns = sorted(range(weight.shape[1]), key=lambda c: -float(gram[c, c]) if act_order else c)
    hessian = damped(gram, damp)[columns][:, columns]
    w = weight[:, columns].double()
    pruned = w == 0 if keep_zeros else torch.zeros_like(w, dtype=torch.bool)
    scale, zero = (grid[:, columns] for grid in range_grid(weight, bits, group, symmetric))
    for j in range(w.shape[1]):
        if j % 128 == 0:
            ahead = w.masked_fill(pruned, 0)
        if not static_groups and group < w.shape[1] and j % group == 0:
            span = slice(j, j + group)
            scale[:, span], zero[:, span] = range_grid(ahead[:, span], bits, group, symmetric)
        final = to_nearest(w[:, j], scale[:, j], zero[:, j], bits).masked_fill(pruned[:, j], 0)
        spread(w, hessian, j, final)
    back = torch.empty_like(w)
    back[:, columns] = w
    return back


@pytest.mark.parametrize("static_groups", [False, True])
@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize(
    ("bits", "inputs", "group", "symmetric"),
    # groups that begin within a block of 128, that go beyond it, and whole rows
    [
        (3, 192, 64, False),
        (4, 160, 32, True),
        (2, 192, 48, False),
        (8, 64, 16, False),
        (8, 64, 16, True),
        (2, 288, 144, False),
        (3, 150, -1, False),
        (3, 150, -1, True),
    ],
)
def test_gptq_is_the_papers_equation_2_with_the_inverse_made_afresh(
    bits: int, inputs: int, group: int, act_order: bool, static_groups: bool, symmetric: bool
) -> None:
    weight, gram = random_layer(10, inputs, seed=inputs)
    size = inputs if group == -1 else group
    weight = greatest_made_positive(weight, size)
    step = GPTQ(
        bits=bits,
        group=group,
        symmetric=symmetric,
        act_order=act_order,
        static_groups=static_groups,
    )
    ((grid, quantized),) = step.quantize([weight], gram)
    expected = gptq_equation_2(
        weight, gram, bits, size, symmetric, act_order, True, static_groups=static_groups
    )
    if static_groups or not symmetric:
        assert distance(quantized, expected) < 1e-3
    else:
        # a symmetric grid has a tie at its greatest weight, here of weights that changed already
        losses = [squared_error(w - weight, gram) for w in (quantized, expected)]
        assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert grid.holds(quantized)
    is_ordered = act_order and not static_groups and size < inputs
    assert (grid.input_groups is not None) == is_ordered
    members = torch.arange(inputs) // size if grid.input_groups is None else grid.input_groups
    assert members.bincount().tolist() == [size] * (inputs // size)
    for group_index in range(inputs // size):
        assert distinct_per_group(quantized[:, members == group_index], size) <= 2**bits
    if is_ordered:
        assert gram.diagonal()[members == 0].min() >= gram.diagonal()[members > 0].max()


def test_the_hessian_is_damped_as_much_as_the_field_says() -> None:
    weight, gram = random_layer(10, 64, seed=1)
    ((_, quantized),) = GPTQ(bits=3, group=32, damp=0.5).quantize([weight], gram)
    references = [
        gptq_equation_2(weight, gram, 3, 32, False, True, keep_zeros=True, damp=damp)
        for damp in (0.5, 0.01)
    ]
    assert distance(quantized, references[0]) < 1e-3
    assert distance(quantized, references[1]) > 1e-2


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("keep_zeros", [False, True])
def test_gptq_of_a_pruned_weight_is_the_reference_and_keeps_its_zeros_if_asked(
    keep_zeros: bool, act_order: bool
) -> None:
    weight, gram = random_layer(12, 192, seed=5)
    weight *= mask(weight, gram.diagonal().sqrt(), 0.5)
    ((_, quantized),) = GPTQ(bits=3, group=32, act_order=act_order, keep_zeros=keep_zeros).quantize(
        [weight], gram
    )
    expected = gptq_equation_2(weight, gram, 3, 32, False, act_order, keep_zeros)
    assert distance(quantized, expected) < 1e-3
    assert bool((quantized[weight == 0] == 0).all()) == keep_zeros


@pytest.mark.parametrize("static_groups", [False, True])
@pytest.mark.parametrize("group", [20, -1])
def test_weights_of_unseen_inputs_become_0(group: int, static_groups: bool) -> None:
    """Any value is as good for them, and 0 is on every grid."""
    weight, gram, dead = with_unseen_inputs(100, seed=3)
    weight[:, dead] *= 3
    before = weight.clone()
    step = GPTQ(bits=3, group=group, static_groups=static_groups)
    ((grid, quantized),) = step.quantize([weight], gram)
    assert torch.equal(weight, before)
    assert (quantized[:, dead] == 0).all()
    assert (quantized[:, ~dead] != 0).any() and grid.holds(quantized)
    # a group's range is that of the weights that matter; a whole row's is fitted before
    assert (grid.scale.max() > 1.2) == (group == -1)


def test_gptq_quantizes_layers_that_share_inputs_as_it_quantizes_each_alone() -> None:
    _, gram = random_layer(1, 160, seed=11)
    weights = [random_layer(rows, 160, seed=rows)[0] * rows for rows in (3, 8, 20)]
    weights[1][:, ::3] = 0  # one of them is pruned
    step = GPTQ(bits=3, group=32)
    for (grid, together), weight in zip(step.quantize(weights, gram), weights, strict=True):
        ((own_grid, alone),) = step.quantize([weight], gram)
        torch.testing.assert_close(together, alone)
        torch.testing.assert_close((grid.scale, grid.zero), (own_grid.scale, own_grid.zero))
        assert grid.input_groups is not None and own_grid.input_groups is not None
        assert torch.equal(grid.input_groups, own_grid.input_groups)
        assert grid.input_groups.dtype is torch.int32


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("act_order", [False, True])
def test_gptq_errs_no_more_than_rounding_on_every_layer(
    dense: Layers, act_order: bool, symmetric: bool
) -> None:
    """3 bits, groups of 64; by Inputs.error, which is that of the definition."""
    for name, (weight, inputs) in dense.items():
        ((_, quantized),) = GPTQ(
            bits=3, group=64, act_order=act_order, symmetric=symmetric
        ).quantize([weight], inputs.gram)
        rounded = fit_grid(weight, 3, 64, symmetric).nearest(weight)
        assert inputs.error(quantized - weight) <= inputs.error(rounded - weight), name
        assert inputs.error(quantized - weight) == pytest.approx(
            squared_error(quantized - weight, inputs.gram), rel=1e-3
        )
