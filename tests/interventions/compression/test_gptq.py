"""GPTQ against a reference written from the paper: float64, plain loops.

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
) -> Tensor:
    """GPTQ, equations 2 and 3.

    w_q -> quant(w_q), delta_F = -(w_q - quant(w_q)) / [H_F^-1]_qq (H_F^-1)_:,q

    The same order for all rows (section 3.3, step 1); grids of the weights as they were.
    """
    columns = sorted(range(weight.shape[1]), key=lambda c: -float(gram[c, c]) if act_order else c)
    hessian = damped(gram, damp)[columns][:, columns]
    scale, zero = (grid[:, columns] for grid in range_grid(weight, bits, group, symmetric))
    w = weight[:, columns].double()
    pruned = w == 0
    for j in range(w.shape[1]):
        final = to_nearest(w[:, j], scale[:, j], zero[:, j], bits)
        if keep_zeros:
            final = torch.where(pruned[:, j], 0.0, final)
        spread(w, hessian, j, final)
    back = torch.empty_like(w)
    back[:, columns] = w
    return back


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize(
    ("bits", "inputs", "group"),
    [(3, 192, 64), (4, 160, 32), (2, 96, 48), (8, 64, 16), (3, 150, -1)],
)
def test_gptq_is_the_papers_equation_2_with_the_inverse_made_afresh(
    bits: int, inputs: int, group: int, act_order: bool, symmetric: bool
) -> None:
    weight, gram = random_layer(10, inputs, seed=inputs)
    size = inputs if group == -1 else group
    weight = greatest_made_positive(weight, size)
    expected = gptq_equation_2(weight, gram, bits, size, symmetric, act_order, keep_zeros=True)
    step = GPTQ(bits=bits, group=group, symmetric=symmetric, act_order=act_order)
    ((grid, quantized),) = step.quantize([weight], gram)
    assert distance(quantized, expected) < 1e-3
    assert grid.holds(quantized) and distinct_per_group(grid.nearest(quantized), size) <= 2**bits


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
    weight, gram = random_layer(12, 128, seed=5)
    weight *= mask(weight, gram.diagonal().sqrt(), 0.5)
    ((_, quantized),) = GPTQ(bits=3, group=32, act_order=act_order, keep_zeros=keep_zeros).quantize(
        [weight], gram
    )
    expected = gptq_equation_2(weight, gram, 3, 32, False, act_order, keep_zeros)
    assert distance(quantized, expected) < 1e-3
    assert bool((quantized[weight == 0] == 0).all()) == keep_zeros


def test_weights_of_unseen_inputs_become_0() -> None:
    """Any value is as good for them, and 0 is on every grid."""
    weight, gram, dead = with_unseen_inputs(100, seed=3)
    ((grid, quantized),) = GPTQ(bits=3, group=20).quantize([weight], gram)
    assert (quantized[:, dead] == 0).all()
    assert (quantized[:, ~dead] != 0).any() and grid.holds(quantized)


def test_gptq_quantizes_layers_that_share_inputs_as_it_quantizes_each_alone() -> None:
    _, gram = random_layer(1, 160, seed=11)
    weights = [random_layer(rows, 160, seed=rows)[0] * rows for rows in (3, 8, 20)]
    weights[1][:, ::3] = 0  # one of them is pruned
    step = GPTQ(bits=3, group=32)
    for (grid, together), weight in zip(step.quantize(weights, gram), weights, strict=True):
        ((own_grid, alone),) = step.quantize([weight], gram)
        torch.testing.assert_close(together, alone)
        torch.testing.assert_close((grid.scale, grid.zero), (own_grid.scale, own_grid.zero))


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
