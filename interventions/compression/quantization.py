"""What the quantizing methods share: grids fitted to weights, and which layers lie on theirs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.anatomy import block_linears, blocks, linears
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.loops import iterations
from interventions.quantization_grid import QuantizationGrid

WHOLE_ROW = -1  # as the group of a scale


def group_size(group: int, inputs: int) -> int:
    """Return how many inputs share a scale; a group of -1 means all of them.

    Example:
        >>> group_size(-1, 4096), group_size(128, 4096)
        (4096, 128)
    """
    return inputs if group == WHOLE_ROW else group


def check_group(model: PreTrainedModel, group: int, method: str) -> None:
    """Raise InvalidInput if the group does not divide the inputs of every layer."""
    if group == 0:
        raise InvalidInput(f"{method}.group must be -1 (the whole row) or at least 1, but got 0")
    layers = block_linears(model)
    widths = sorted({linear.in_features for linear in layers.values()})
    for width in widths:
        if width % group_size(group, width):
            fitting = [g for g in range(1, widths[0] + 1) if all(w % g == 0 for w in widths)]
            name = next(name for name, linear in layers.items() if linear.in_features == width)
            raise InvalidInput(
                f"{method}.group is {group}, which does not divide the {width} inputs of layer"
                f" {name}; it must be -1 (the whole row) or one of {', '.join(map(str, fitting))}"
            )


def fit_grid(
    weight: Tensor, bits: int, group: int, symmetric: bool, shrink: float = 1.0
) -> QuantizationGrid:
    """Return the grid that spans the range of every group of a layer's weights, 0 included.

    With low = min(w, 0) and high = max(w, 0) of a group, w clamped to +-shrink * max|w| before:

        not symmetric: scale = (high - low) / (2^bits - 1), zero = round(-low / scale)
        symmetric:     scale = 2 max|w| / (2^bits - 1),     zero = 2^(bits - 1)

    Args:
        weight: (out, in), any float dtype; not changed.
        bits: width of the integers.
        group: consecutive inputs that share a scale; -1 means the whole row.
        symmetric: whether 0 is in the middle of the grid.
        shrink: share of the greatest ``|w|`` of a group at which its range is cut off, on both
            sides; 1 for the full range.

    Returns:
        A grid whose scale and zero are (out, in / group), float32.

    Source: Frantar et al. 2023, "GPTQ", section 4 (per-group grids); Nagel et al. 2021, "A White
    Paper on Neural Network Quantization", section 2.2.

    Example:
        >>> grid = fit_grid(torch.tensor([[0.0, 0.4, 1.1, 3.0]]), 2, -1, False)
        >>> grid.nearest(torch.tensor([[0.0, 0.4, 1.1, 3.0]]))
        tensor([[0., 0., 1., 3.]])
    """
    size = group_size(group, weight.shape[1])
    grouped = weight.float().unflatten(1, (-1, size))  # (out, in / group, group)
    low, high = grouped.amin(-1).clamp(max=0), grouped.amax(-1).clamp(min=0)
    if shrink != 1:
        limit = torch.maximum(-low, high) * shrink
        low, high = torch.maximum(low, -limit), torch.minimum(high, limit)
    steps = 2**bits - 1
    if symmetric:
        high = torch.maximum(-low, high)
        scale = 2 * high / steps
        scale[scale == 0] = 1.0  # a group of zeros: any scale holds it, but it divides
        return QuantizationGrid(bits, size, scale, torch.full_like(scale, 2 ** (bits - 1)))
    scale = (high - low) / steps
    scale[scale == 0] = 1.0
    return QuantizationGrid(bits, size, scale, (-low / scale).round().clamp(0, steps))


def layers_to_quantize(lm: LM, block: nn.Module, bits: int, group: int) -> dict[str, str]:
    """Return the layers that lie on no such grid yet: name in the block -> name in the model.

    The others are left as they are: to quantize them again would only move their grids.
    """
    index = next(i for i, candidate in enumerate(blocks(lm.model)) if candidate is block)
    pending: dict[str, str] = {}
    for name, linear in linears(block):
        full_name = f"{index}.{name}"
        size = group_size(group, linear.in_features)
        if not lm.on_grid(full_name, linear.weight, bits, size):
            pending[name] = full_name
    return pending


def round_to_nearest(
    lm: LM, bits: int, group: int, fit: Callable[[Tensor], QuantizationGrid]
) -> None:
    """Round the weights of every layer in place, but of those that lie on such a grid already.

    Args:
        lm: the model.
        bits: width of the integers.
        group: inputs that share a scale; -1 means the whole row.
        fit: weights of a layer (out, in) -> the grid that they are rounded to.
    """
    for block in iterations(list(blocks(lm.model))):
        block_layers = dict(linears(block))
        for name, full_name in layers_to_quantize(lm, block, bits, group).items():
            weight = block_layers[name].weight  # (out, in)
            lm.quantize(full_name, weight, fit(weight), weight)


def is_quantized(lm: LM, bits: int, group: int) -> bool:
    """Return whether every layer lies on a grid of at most so many bits in such groups, measured.

    Args:
        lm: the model.
        bits: most bits of a grid.
        group: inputs that share a scale; -1 means the whole row.
    """
    return all(
        lm.on_grid(name, linear.weight, bits, group_size(group, linear.in_features))
        for name, linear in block_linears(lm.model).items()
    )
