"""What the quantizing methods share: grids fitted to weights, and which layers still lie on theirs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.anatomy import block_linears, blocks, linears
from interventions.errors import InvalidInput
from interventions.lm import LM, QuantizationGrid

WHOLE_ROW = -1


def group_size(group: int, inputs: int) -> int:
    """Inputs that share a scale; -1 means all."""
    return inputs if group == WHOLE_ROW else group


def check_group(model: PreTrainedModel, group: int, method: str) -> None:
    """Raise InvalidInput if the group does not divide the inputs of every layer."""
    if group == 0:
        raise InvalidInput(f"{method}.group must be -1 (the whole row) or at least 1, but got 0")
    widths = sorted({linear.in_features for linear in block_linears(model).values()})
    for width in widths:
        if width % group_size(group, width):
            fitting = [g for g in range(1, widths[0] + 1) if all(w % g == 0 for w in widths)]
            name = next(
                n for n, linear in block_linears(model).items() if linear.in_features == width
            )
            raise InvalidInput(
                f"{method}.group is {group}, which does not divide the {width} inputs of layer {name};"
                f" it must be -1 (the whole row) or one of {', '.join(map(str, fitting))}"
            )


def fit(
    weight: Tensor, bits: int, group: int, symmetric: bool, shrink: float = 1.0
) -> QuantizationGrid:
    """The grid that spans the range of every group of the weights (out, in), zero included; float32.

    Not symmetric: scale = (max - min) / (2^bits - 1), zero = -min / scale. Symmetric: scale = 2 max|w| / (2^bits - 1),
    zero = 2^(bits - 1). ``shrink`` makes the range that much narrower.

    Source: Frantar et al. 2023, "GPTQ", section 4 (per-group grids); Nagel et al. 2021, "A White Paper on Neural
    Network Quantization", section 2.2.
    """
    size = group_size(group, weight.shape[1])
    grouped = weight.float().unflatten(1, (-1, size))  # (out, in / group, group)
    low, high = grouped.amin(-1).clamp(max=0) * shrink, grouped.amax(-1).clamp(min=0) * shrink
    steps = 2**bits - 1
    if symmetric:
        high = torch.maximum(-low, high)
        scale = 2 * high / steps
        scale[scale == 0] = 1.0
        return QuantizationGrid(bits, size, scale, torch.full_like(scale, 2 ** (bits - 1)))
    scale = (high - low) / steps
    scale[scale == 0] = 1.0
    return QuantizationGrid(bits, size, scale, (-low / scale).round().clamp(0, steps))


def pending(lm: LM, block: nn.Module, bits: int, group: int) -> dict[str, str]:
    """Name in the block -> name in the model, of the layers that do not lie on such a grid yet.

    A layer that does is left as it is: quantizing again what is quantized would only move its grid.
    """
    index = next(i for i, one in enumerate(blocks(lm.model)) if one is block)
    named = {name: (f"{index}.{name}", linear) for name, linear in linears(block)}
    return {
        name: full
        for name, (full, linear) in named.items()
        if not lm.on_grid(full, linear.weight, bits, group_size(group, linear.in_features))
    }


def is_quantized(lm: LM, bits: int, group: int) -> bool:
    """Whether every layer lies on a grid of at most so many bits in such groups, measured."""
    return all(
        lm.on_grid(name, linear.weight, bits, group_size(group, linear.in_features))
        for name, linear in block_linears(lm.model).items()
    )
