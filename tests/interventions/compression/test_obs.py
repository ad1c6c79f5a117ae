"""The sweep that SparseGPT and GPTQ share."""

import torch

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
