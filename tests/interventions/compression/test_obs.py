"""The sweep that SparseGPT and GPTQ share."""

import pytest
import torch

from interventions.compression import obs
from interventions.compression.gptq import GPTQ
from interventions.compression.sparsegpt import SparseGPT
from tests.interventions.compression.reference import distance, random_layer, with_unseen_inputs


def test_the_hessians_unit_does_not_matter() -> None:
    """``gram`` is the Hessian up to a factor: lambda is a share of its mean diagonal."""
    weight, gram, _ = with_unseen_inputs(100, seed=4)
    for hessians in ((gram, gram / 1000), (gram, gram * 1000)):
        pruned = [SparseGPT(sparsity=0.5).prune([weight], hessian)[0] for hessian in hessians]
        assert distance(pruned[1], pruned[0]) < 1e-3
        quantized = [
            GPTQ(bits=3, group=20).quantize([weight], hessian)[0][1] for hessian in hessians
        ]
        assert distance(quantized[1], quantized[0]) < 1e-3


def test_layers_of_which_no_input_was_seen_are_pruned_and_quantized_too() -> None:
    weight, gram = random_layer(6, 40, seed=6)
    (pruned,) = SparseGPT(sparsity=0.5).prune([weight], 0 * gram)
    assert int((pruned == 0).sum()) == weight.numel() // 2
    ((grid, quantized),) = GPTQ(bits=3, group=20).quantize([weight], 0 * gram)
    assert bool(torch.isfinite(quantized).all()) and grid.holds(quantized)


@pytest.mark.parametrize("order", [None, [2, 0, 3, 1]])
def test_the_factor_is_of_the_inverse_hessian_in_the_order_of_the_sweep(
    order: list[int] | None,
) -> None:
    """The mean diagonal is 2: it stands in for the 0, and half of it is added to all."""
    gram = torch.tensor([[1.0, 0.5, 0, 0], [0.5, 2, 0, 1], [0, 0, 0, 0], [0, 1, 0, 5]])
    hessian = torch.tensor([[2.0, 0.5, 0, 0], [0.5, 3, 0, 1], [0, 0, 3, 0], [0, 1, 0, 6]])
    sweep = None if order is None else torch.tensor(order)
    factor = obs._inverse_factor(gram, 0.5, sweep)
    places = order or [0, 1, 2, 3]
    assert torch.equal(factor, factor.triu()) and bool((factor.diagonal() > 0).all())
    torch.testing.assert_close(factor.T @ factor, hessian[places][:, places].inverse())
    assert gram[2, 2] == 0  # not changed
    nothing = obs._inverse_factor(0 * gram, 0.5, sweep)
    torch.testing.assert_close(nothing, torch.eye(4) / 1.5**0.5)


@pytest.mark.parametrize(("seen", "stays"), [(1e-6, True), (0.5e-6, False)])
def test_a_weight_of_an_input_that_is_always_0_counts_a_millionth(seen: float, stays: bool) -> None:
    """The inputs' second moments are 1 and 0, whose stand-in is their mean: costs of 1 and .7."""
    gram = torch.diag(torch.tensor([1.0, 0.0]))
    (pruned,) = SparseGPT(sparsity=0.5).prune([torch.tensor([[seen, 1.0]])], gram)
    assert (pruned != 0).tolist() == [[stays, not stays]]
