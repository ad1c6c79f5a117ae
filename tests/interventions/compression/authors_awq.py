"""AWQ as its authors' code does it, rewritten in float64.

Source: github.com/mit-han-lab/llm-awq, commit d6e797a: ``auto_scale_block`` of auto_scale.py,
``auto_clip_block`` of auto_clip.py, ``pseudo_quantize_tensor`` of quantizer.py, in the order of
``run_awq`` of pre_quant.py: all scales are searched on the block as it was, then applied, then
ranges are clipped, then weights are rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

GRID, MAX_SHRINK, SAMPLED_TOKENS = 20, 0.5, 512
NOT_CLIPPED = ("q_", "k_", "query", "key", "Wqkv")

Call = tuple[tuple[Any, ...], dict[str, Any]]  # what a module is called with


@dataclass(frozen=True)
class Fold:
    """Layers that share a scale, which goes into what is before them.

    Attributes:
        before: a norm or a linear layer.
        layers: what reads its output.
        inspected: the module whose output's error decides.
    """

    before: str
    layers: tuple[str, ...]
    inspected: str


def _qkv(norm: str) -> Fold:
    return Fold(norm, ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "self_attn")


def _single(before: str, layer: str) -> Fold:
    return Fold(before, (layer,), layer)


# a Llama with grouped queries: nothing is folded into its values, whose shape is another
LLAMA_GROUPED = (
    _qkv("input_layernorm"),
    Fold("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj"), "mlp"),
    _single("mlp.up_proj", "mlp.down_proj"),
)
LLAMA = (*LLAMA_GROUPED, _single("self_attn.v_proj", "self_attn.o_proj"))
OPT = (
    _qkv("self_attn_layer_norm"),
    _single("self_attn.v_proj", "self_attn.out_proj"),
    _single("final_layer_norm", "fc1"),
    _single("fc1", "fc2"),
)


@dataclass
class Outcome:
    """What the authors' code makes of one block.

    Attributes:
        scales: (in) by layer, of those that were scaled.
        ratios: the exponent that was chosen, by layer, as a number of twentieths.
        weights: (out, in) by layer as the unscaled block would have them.
    """

    scales: dict[str, Tensor] = field(default_factory=dict)
    ratios: dict[str, int] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)


def pseudo_quantize(weight: Tensor, bits: int, group: int) -> Tensor:
    """Return the weights (out, in) rounded to a grid from each group's least to its greatest."""
    most = 2**bits - 1
    grouped = weight.unflatten(1, (-1, group))
    low, high = grouped.amin(-1, keepdim=True), grouped.amax(-1, keepdim=True)
    step = (high - low).clamp(min=1e-5) / most
    zero = (-(low / step).round()).clamp(0, most)
    integers = ((grouped / step).round() + zero).clamp(0, most)
    return ((integers - zero) * step).flatten(1)


def quantize_block(
    block: nn.Module,
    calls: dict[str, list[Call]],
    folds: Sequence[Fold],
    bits: int,
    group: int,
    *,
    each_layer: bool = False,
) -> Outcome:
    """Return what the authors' code makes of a block.

    Args:
        block: in float64; as it was when this returns.
        calls: what its layers and the inspected modules are called with, text by text.
        folds: what is scaled.
        bits: width of the integers.
        group: inputs that share a grid.
        each_layer: judge a scale by the sum of the layers' own squared errors, as equation 4 of the
            paper says, in place of the inspected module's.
    """
    outcome = Outcome()
    layers = {name: m for name, m in block.named_modules() if isinstance(m, nn.Linear)}
    inputs = {name: torch.cat([args[0] for args, _ in calls[name]], dim=-2) for name in layers}
    inputs = {name: x.flatten(0, -2) for name, x in inputs.items()}  # (tokens, in)

    def error_of(fold: Fold) -> Callable[[], float]:
        names = fold.layers if each_layer else (fold.inspected,)
        modules = [(block.get_submodule(name), calls[name]) for name in names]
        before = [[_output(module, call) for call in of_module] for module, of_module in modules]

        def error() -> float:
            total = 0.0
            for (module, of_module), outputs in zip(modules, before, strict=True):
                for call, output in zip(of_module, outputs, strict=True):
                    total += float((_output(module, call) - output).square().sum())
            return total

        return error

    for fold in folds:
        weights = [layers[name].weight for name in fold.layers]
        ratio, scale = _search_scale(weights, inputs[fold.layers[0]], error_of(fold), bits, group)
        outcome.scales |= dict.fromkeys(fold.layers, scale)
        outcome.ratios |= dict.fromkeys(fold.layers, ratio)
    outputs_scale = {
        fold.before: outcome.scales[fold.layers[0]] for fold in folds if fold.before in layers
    }
    for name, layer in layers.items():
        scale = outcome.scales.get(name, torch.ones(1, dtype=torch.float64))
        down = outputs_scale.get(name, torch.ones(1, dtype=torch.float64))
        scaled = layer.weight * scale / down[:, None]
        if not any(part in name for part in NOT_CLIPPED):
            scaled = clip(scaled, inputs[name] / scale, bits, group)
        outcome.weights[name] = pseudo_quantize(scaled, bits, group) / scale * down[:, None]
    return outcome


def _output(module: nn.Module, call: Call) -> Tensor:
    args, kwargs = call
    output = module(*args, **kwargs)
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def _search_scale(
    weights: Sequence[Tensor], x: Tensor, error: Callable[[], float], bits: int, group: int
) -> tuple[int, Tensor]:
    """Return (twentieths of the best ratio, scale (in)); the weights are as before afterwards."""
    mean_magnitude = x.abs().mean(0)
    unchanged = [weight.clone() for weight in weights]
    candidates = []
    for ratio in range(GRID):
        scale = mean_magnitude.pow(ratio / GRID).clamp(min=1e-4)
        scale = scale / (scale.max() * scale.min()).sqrt()
        for weight, values in zip(weights, unchanged, strict=True):
            weight.copy_(pseudo_quantize(values * scale, bits, group) / scale)
        candidates.append((error(), ratio, scale))
        for weight, values in zip(weights, unchanged, strict=True):
            weight.copy_(values)
    _, ratio, scale = min(candidates, key=lambda candidate: candidate[:2])
    return ratio, scale


def clip(weight: Tensor, x: Tensor, bits: int, group: int) -> Tensor:
    """Return the weights (out, in), each group's clamped where its own error is least.

    Args:
        weight: (out, in), scaled.
        x: its inputs (tokens, in), scaled down; every so many of them are looked at.
        bits: width of the integers.
        group: inputs that share a grid.
    """
    sampled = x[:: len(x) // SAMPLED_TOKENS].unflatten(1, (-1, group))  # (tokens, groups, group)
    grouped = weight.unflatten(1, (-1, group))  # (out, groups, group)
    outputs = torch.einsum("tgi,ogi->tog", sampled, grouped)
    greatest = grouped.abs().amax(-1)  # (out, groups)
    best, least = greatest, torch.full_like(greatest, 1e9)
    for tried in range(int(MAX_SHRINK * GRID)):
        limit = greatest * (1 - tried / GRID)
        clamped = grouped.clamp(-limit[..., None], limit[..., None])
        rounded = pseudo_quantize(clamped.flatten(1), bits, group).unflatten(1, (-1, group))
        errors = torch.einsum("tgi,ogi->tog", sampled, rounded) - outputs
        error = errors.square().mean(0)
        best = torch.where(error < least, limit, best)
        least = torch.where(error < least, error, least)
    return grouped.clamp(-best[..., None], best[..., None]).flatten(1)
