"""How what an MLP writes reaches the residual stream: as it is or scaled, as MEMIT needs it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.anatomy import blocks, down_projection, text_config
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.partial_pass import hidden_states

_NORM_AFTER = re.compile(r"post_?(feed_?forward|mlp|ffn)\w*norm")
_TOLERANCE = 0.05  # relative; half precision rounds the stream


def check_no_norm_after(model: PreTrainedModel, layers: Sequence[int], name: str) -> None:
    """Check that no norm stands behind the MLPs, by names and as far as an empty pass tells.

    Args:
        model: its weights may be on the meta device.
        layers: indices of blocks.
        name: of the intervention that asks.

    Raises:
        InvalidInput: a norm stands there, or a block has experts.
    """
    for layer in layers:
        block = blocks(model)[layer]
        down_projection(block)
        norms = [key for key, _ in block.named_modules() if _NORM_AFTER.search(key)]
        if norms:
            raise _refusal(name, model, f"{norms[0]} of its blocks rescales what an MLP writes")
    # OPT-350m: the norm reads the stream itself
    if getattr(text_config(model), "do_layer_norm_before", True) is False:
        raise _refusal(name, model, "its blocks norm the residual stream behind the MLP")
    for layer, norm in _norms_run_after(model, layers).items():
        raise _refusal(name, model, f"{norm} of block {layer} runs behind the MLP")


@torch.no_grad()
def _norms_run_after(model: PreTrainedModel, layers: Sequence[int]) -> Mapping[int, str]:
    """Return, by layer, a norm that its block runs after the MLP; none where no pass tells.

    BERT's blocks have one, and that of OpenAI's first GPT, by names that others have elsewhere.
    """
    after: dict[int, str] = {}
    written: set[int] = set()

    def note_norm(layer: int, key: str, *call: Any) -> None:
        if layer in written:
            after.setdefault(layer, key)

    def note_written(layer: int, *call: Any) -> None:
        written.add(layer)

    weight = next(model.parameters())
    tokens = torch.zeros(1, 2, dtype=torch.long, device=weight.device)
    # a mask as the blocks get it: of another, models ask for values, which the meta device lacks
    mask = torch.zeros(1, 1, 2, 2, dtype=weight.dtype, device=weight.device)
    was_training = model.training
    model.eval()
    with ExitStack() as opened:
        opened.callback(model.train, was_training)
        for layer in layers:
            block = blocks(model)[layer]
            hooked = {down_projection(block).module: functools.partial(note_written, layer)}
            for key, module in block.named_modules():
                if "norm" in type(module).__name__.lower():
                    hooked[module] = functools.partial(note_norm, layer, key)
            for module, hook in hooked.items():
                opened.callback(module.register_forward_hook(hook).remove)
        for masked in ({"attention_mask": mask}, {}):
            written.clear()
            # what the meta device cannot do: then ``stream_gains`` tells, once there are weights
            with suppress(Exception):
                model(input_ids=tokens, **masked, use_cache=False)
                break
    return after


@torch.no_grad()
def stream_gains(lm: LM, layers: Sequence[int], name: str) -> dict[int, float]:
    """Return, by layer, how many times what its MLP writes is added to the stream, by trying it.

    Mostly 1; Granite's blocks multiply it by ``residual_multiplier``.

    Args:
        lm: the model; not changed.
        layers: indices of blocks.
        name: of the intervention that asks.

    Raises:
        InvalidInput: a change of an MLP's output does not change its block's by so many times it.
    """
    if lm.device.type == "meta":  # no values tell
        return dict.fromkeys(layers, 1.0)
    encoded = lm.encode(["The first and the second."])
    gains: dict[int, float] = {}
    for layer in layers:
        before = hidden_states(lm.model, encoded, layer).float()
        # as large as the stream itself, so that rounding does not hide it
        sign = torch.arange(before.shape[-1], device=before.device) % 2 * 2.0 - 1.0
        added = sign * before.pow(2).mean().sqrt()
        module = down_projection(blocks(lm.model)[layer]).module
        handle = module.register_forward_hook(_adding(added))
        try:
            change = hidden_states(lm.model, encoded, layer).float() - before
        finally:
            handle.remove()
        gain = float((change * added).sum() / added.expand_as(change).square().sum())
        expected = (gain * added).expand_as(change)
        if not (change - expected).norm() <= _TOLERANCE * expected.norm() or gain <= 0:
            reason = f"what the MLP of block {layer} writes does not reach the stream as it is"
            raise _refusal(name, lm.model, reason)
        gains[layer] = 1.0 if abs(gain - 1) < _TOLERANCE else gain
    return gains


def _adding(added: Tensor) -> Callable[[nn.Module, object, Tensor], Tensor]:
    def hook(module: nn.Module, args: object, output: Tensor) -> Tensor:
        return output + added.to(output.dtype)

    return hook


def _refusal(name: str, model: nn.Module, reason: str) -> InvalidInput:
    return InvalidInput(
        f"{name} cannot edit a {type(model).__name__}: {reason}, so that its closed form would miss"
        " the targets; ft and lora can"
    )
