"""Whether what an MLP writes reaches the residual stream unchanged, as MEMIT needs it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

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
    """Check, by the names of the blocks' parts, that no norm stands behind the MLPs.

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


@torch.no_grad()
def measure_no_norm_after(lm: LM, layers: Sequence[int], name: str) -> None:
    """Check, by trying it, that a change of an MLP's output changes the block's by as much.

    Args:
        lm: the model; not changed.
        layers: indices of blocks.
        name: of the intervention that asks.

    Raises:
        InvalidInput: it does not.
    """
    encoded = lm.encode(["The first and the second."])
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
        if (change - added).norm() > _TOLERANCE * added.expand_as(change).norm():
            reason = f"what the MLP of block {layer} writes does not reach the stream as it is"
            raise _refusal(name, lm.model, reason)


def _adding(added: Tensor) -> Callable[[nn.Module, object, Tensor], Tensor]:
    def hook(module: nn.Module, args: object, output: Tensor) -> Tensor:
        return output + added.to(output.dtype)

    return hook


def _refusal(name: str, model: nn.Module, reason: str) -> InvalidInput:
    return InvalidInput(
        f"{name} cannot edit a {type(model).__name__}: {reason}, so that its closed form would miss"
        " the targets; ft and lora can"
    )
