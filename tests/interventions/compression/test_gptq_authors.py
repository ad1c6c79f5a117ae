"""GPTQ against its authors' algorithm, layer by layer and through a model's blocks.

Source: github.com/IST-DASLab/gptq: ``GPTQ.add_batch`` and ``GPTQ.fasterquant`` of gptq.py,
``Quantizer.find_params`` of quant.py, ``llama_sequential`` of llama.py; float32, as there.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interventions.anatomy import block_linears, taps
from interventions.composition import apply
from interventions.compression.gptq import GPTQ
from interventions.data.base import Data
from interventions.lm import LM
from tests.interventions.compression.reference import KEY, squared_error, tiny_lm

SEQUENTIAL = [
    ["self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj"],
    ["self_attn.o_proj"],
    ["mlp.up_proj", "mlp.gate_proj"],
    ["mlp.down_proj"],
]
AT_ONCE = [[name for names in SEQUENTIAL for name in names]]


class Quantizer:
    """Scale and zero of each row; a range without a weight is -1 to 1."""

    def __init__(self, bits: int, symmetric: bool) -> None:
        self.most, self.symmetric = 2**bits - 1, symmetric

    def find_params(self, x: Tensor) -> None:
        zeros = torch.zeros(len(x))
        low, high = torch.minimum(x.min(1)[0], zeros), torch.maximum(x.max(1)[0], zeros)
        if self.symmetric:
            high = torch.maximum(low.abs(), high)
            low = -high  # theirs only where a weight is negative, which is true of all rows here
        empty = (low == 0) & (high == 0)
        low[empty], high[empty] = -1, 1
        self.scale = (high - low) / self.most
        self.zero = torch.round(-low / self.scale)
        if self.symmetric:
            self.zero = torch.full_like(self.scale, (self.most + 1) / 2)

    def __call__(self, x: Tensor) -> Tensor:
        integers = torch.clamp(torch.round(x / self.scale) + self.zero, 0, self.most)
        return self.scale * (integers - self.zero)


def hessian_of(sequences: Sequence[Tensor]) -> Tensor:
    """Return 2 / sequences times the sum of X'X; dead inputs are found by its diagonal."""
    return 2 * sum((x.T @ x for x in sequences), torch.zeros(())) / len(sequences)


def fasterquant(
    weight: Tensor,
    sequences: Sequence[Tensor],
    bits: int,
    group: int,
    *,
    symmetric: bool = False,
    act_order: bool = True,
    static_groups: bool = False,
    damp: float = 0.01,
) -> Tensor:
    """Return the weights (out, in) as the authors' code makes them of a layer's inputs."""
    w, quantizer = weight.clone().float(), Quantizer(bits, symmetric)
    quantizer.find_params(w)
    hessian = hessian_of(sequences)
    dead = hessian.diagonal() == 0
    hessian[dead, dead] = 1
    w[:, dead] = 0
    groups = []
    for start in range(0, w.shape[1], group) if static_groups and group != -1 else ():
        groups.append(Quantizer(bits, symmetric))
        groups[-1].find_params(w[:, start : start + group])
    order = torch.arange(w.shape[1])
    if act_order:
        order = hessian.diagonal().argsort(descending=True)
        w, hessian = w[:, order], hessian[order][:, order]
    hessian.diagonal().add_(damp * hessian.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    upper = torch.linalg.cholesky(inverse, upper=True)
    quantized = torch.zeros_like(w)
    for start in range(0, w.shape[1], 128):
        end = min(start + 128, w.shape[1])
        block, errors = w[:, start:end].clone(), torch.zeros(len(w), end - start)
        for i in range(end - start):
            if group != -1 and static_groups:
                quantizer = groups[int(order[start + i]) // group]
            elif group != -1 and (start + i) % group == 0:
                quantizer.find_params(w[:, start + i : start + i + group])
            q = quantizer(block[:, i])
            errors[:, i] = (block[:, i] - q) / upper[start + i, start + i]
            block[:, i:] -= errors[:, i, None] * upper[start + i, start + i : end]
            quantized[:, start + i] = q
        w[:, end:] -= errors @ upper[start:end, end:]
    return quantized[:, order.argsort()]


def some_inputs(inputs: int, seed: int) -> list[Tensor]:
    """Return sequences (tokens, inputs) of correlated inputs of uneven size, some always 0."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(inputs, inputs, generator=generator) / inputs**0.5 + torch.eye(inputs)
    size = torch.rand(inputs, generator=generator) * 2 + 0.1
    size[7::50] = 0
    return [torch.randn(64, inputs, generator=generator) @ mixing * size for _ in range(12)]


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("static_groups", [False, True])
@pytest.mark.parametrize("group", [32, 128, -1])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_a_layers_loss_is_the_authors(
    bits: int, group: int, static_groups: bool, act_order: bool
) -> None:
    """Within 1 %: rounding in another order moves single weights to the next value."""
    sequences = some_inputs(256, seed=bits)
    x = torch.cat(sequences)
    gram = x.T @ x / len(x)
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(group + 2))
    for symmetric in (False, True):
        settings: dict[str, Any] = {
            "symmetric": symmetric,
            "act_order": act_order,
            "static_groups": static_groups,
        }
        theirs = fasterquant(weight, sequences, bits, group, **settings)
        ((_, ours),) = GPTQ(bits=bits, group=group, **settings).quantize([weight], gram)
        expected = squared_error(theirs - weight, gram)
        assert squared_error(ours - weight, gram) == pytest.approx(expected, rel=0.01), symmetric


def inputs_of(
    lm: LM, modules: dict[str, nn.Module], texts: Sequence[str]
) -> dict[str, list[Tensor]]:
    """Return the inputs (tokens, in) of each module, text by text."""
    inputs: dict[str, list[Tensor]] = {name: [] for name in modules}
    with taps(modules, lambda name, x: inputs[name].append(x[0].clone())):
        for text in texts:
            lm.model(**lm.encode([text]), use_cache=False)
    return inputs


@torch.no_grad()
def sequential(lm: LM, texts: Sequence[str], stages: list[list[str]], **settings: Any) -> LM:
    """Quantize as the authors' loops do: for each stage the inputs of a plain forward pass."""
    layers = block_linears(lm.model)
    for index in range(lm.model.config.num_hidden_layers):
        for names in stages:
            inputs = inputs_of(
                lm, {name: layers[f"{index}.{name}"].module for name in names}, texts
            )
            for name in names:
                weight = layers[f"{index}.{name}"].weight
                weight.copy_(fasterquant(weight, inputs[name], **settings))
    return lm


@pytest.mark.parametrize("true_sequential", [False, True])
@pytest.mark.parametrize("bits", [2, 4])
def test_the_layers_of_a_block_are_quantized_in_the_authors_order(
    small: Data, bits: int, true_sequential: bool
) -> None:
    """Their Hessian weighs a text by its tokens too: all tokens count alike."""
    settings: dict[str, Any] = {"bits": bits, "group": 16}
    texts = small.calibration[:6]
    stages = SEQUENTIAL if true_sequential else AT_ONCE
    expected = block_linears(sequential(tiny_lm(32, 48), texts, stages, **settings).model)
    other = AT_ONCE if true_sequential else SEQUENTIAL
    in_the_other_order = block_linears(sequential(tiny_lm(32, 48), texts, other, **settings).model)
    step = GPTQ(samples=6, true_sequential=true_sequential, **settings)
    for name, matrix in block_linears(apply(step, tiny_lm(32, 48), small, KEY).model).items():
        weight, expected_weight = matrix.weight, expected[name].weight
        same = (weight - expected_weight).abs() < 1e-4 * expected_weight.abs().max()
        assert same.float().mean() > 0.97, name
        if "down" in name:
            differs = weight - in_the_other_order[name].weight
            assert (differs.abs() > 1e-4 * expected_weight.abs().max()).float().mean() > 0.1
