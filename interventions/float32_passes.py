"""Passes in float32 through a model that is held in less: what its training would be in float32.

Adam divides a gradient by its own size, so that the rounding of bfloat16 turns the steps of weights
with small gradients about. Such a training differs from one in float32 by several per cent, however
precise its weights and moments are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from interventions.anatomy import blocks


class _View(NamedTuple):
    """A view of a weight's float32 cast, by what it can be made again from."""

    weight: Tensor
    size: torch.Size
    stride: tuple[int, ...]
    offset: int


@contextmanager
def float32_passes(
    model: nn.Module, replaced: Mapping[nn.Parameter, nn.Parameter]
) -> Iterator[None]:
    """Let a model compute in float32, and other tensors stand for some of its weights.

    While open, each block takes its weights as float32 when it runs, and lets go of them after it;
    a backward pass makes them again. So no more than one block is there in float32. The gradients
    of a replaced weight go to what replaces it.

    Args:
        model: a transformers model of any precision; unchanged afterwards.
        replaced: weight of the model -> the float32 tensor that stands for it.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> from interventions.lm import LM
        >>> lm = LM.load(MODEL, dtype="bfloat16")
        >>> with float32_passes(lm.model, {}):
        ...     logits = lm.model(torch.tensor([[1, 2]])).logits
        >>> logits.dtype, lm.model.dtype
        (torch.float32, torch.bfloat16)
    """
    casts = _Casts(replaced)
    units: list[nn.Module] = list(blocks(model))
    in_blocks = {id(module) for block in units for module in block.modules()}
    units += [module for module in model.modules() if id(module) not in in_blocks]
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(casts.pack, casts.unpack))
        for unit in units:
            modules = list(unit.modules()) if id(unit) in in_blocks else [unit]
            for handle in casts.hook(unit, modules):
                stack.callback(handle.remove)
        yield


class _Casts:
    """The float32 casts of the weights that are in use at the moment."""

    def __init__(self, replaced: Mapping[nn.Parameter, nn.Parameter]) -> None:
        self._replaced = dict(replaced)
        self._weights: dict[int, Tensor] = {}  # address of a cast -> the weight that it is of

    def hook(
        self, unit: nn.Module, modules: list[nn.Module]
    ) -> list[torch.utils.hooks.RemovableHandle]:
        """Give modules float32 weights whenever a unit runs, and put their own back after it."""
        replaced: list[tuple[nn.Module, str, nn.Parameter]] = []
        addresses: list[int] = []

        def before(unit: nn.Module, *inputs: Any) -> None:
            for module in modules:
                for name, weight in module._parameters.items():
                    if weight is not None and weight.dtype != torch.float32:
                        replaced.append((module, name, weight))
            for module, name, weight in replaced:
                replacement = self._replaced.get(weight)
                if replacement is None:
                    cast = weight.detach().to(torch.float32)
                    # peft looks for parameters
                    replacement = nn.Parameter(cast, requires_grad=False)
                    addresses.append(replacement.untyped_storage()._cdata)
                    self._weights[addresses[-1]] = weight
                module._parameters[name] = replacement

        def after(unit: nn.Module, *results: Any) -> None:
            for module, name, weight in replaced:
                module._parameters[name] = weight
            for address in addresses:
                del self._weights[address]
            replaced.clear()
            addresses.clear()

        return [
            unit.register_forward_pre_hook(before),
            unit.register_forward_hook(after, always_call=True),
        ]

    def pack(self, saved: Tensor) -> Tensor | _View:
        """Return what a backward pass needs of a tensor: of a cast, the weight that it is of."""
        weight = self._weights.get(saved.untyped_storage()._cdata)
        if weight is None:
            return saved
        return _View(weight, saved.size(), saved.stride(), int(saved.storage_offset()))

    def unpack(self, packed: Tensor | _View) -> Tensor:
        """Return the tensor that was packed."""
        if isinstance(packed, Tensor):
            return packed
        cast = packed.weight.detach().to(torch.float32)
        return cast.as_strided(packed.size, packed.stride, packed.offset)
