"""Which norms feed a block's linear layers, and whether a scale can move between the two."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from interventions.anatomy import linears, scale_output

_TOLERANCE = 1e-3  # relative change of a block's output that counts as none


class Feeders:
    """The norms that a block's linear layers read, noted while the block runs; see ``feeders``.

    Attributes:
        norms: linear layer's name -> the norm whose output, unchanged, is the layer's input.
    """

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self.norms: dict[str, nn.Module] = {}
        self._call: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    @functools.cached_property
    def _first_output(self) -> Tensor:
        """The block's output on the first call, by the weights of when this is first asked."""
        return self._output()

    def _output(self) -> Tensor:
        assert self._call is not None, "the block has not run"
        args, kwargs = self._call
        output = self.block(*args, **kwargs)
        hidden: Tensor = output[0] if isinstance(output, tuple) else output
        return hidden

    def note_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Remember the block's first call: a hook."""
        self._call = self._call or (args, kwargs)

    @torch.no_grad()
    def scales(self, feeder: nn.Module, names: Sequence[str]) -> bool:
        """Tell whether a scale can be moved from layers' weights into their feeder.

        It can if scaling the feeder's outputs up and the weights down leaves the block's function
        as it was. Tried out on the block's first call: where a residual, a router or an inner norm
        reads the outputs too, or the norm adds 1 to its weight, the block's output moves.

        Args:
            feeder: a norm or a linear layer of the block.
            names: linear layers of the block that read its outputs.
        """
        output_before = self._first_output
        weights = [linear.weight for name, linear in linears(self.block) if name in names]
        inputs = torch.arange(weights[0].shape[1], device=weights[0].device)
        # powers of two are exact, so that scaling back restores the very same weights
        factor = 2.0 ** (inputs % 3).to(weights[0].dtype)
        _move_scale(feeder, weights, factor)
        output_after = self._output()
        _move_scale(feeder, weights, 1 / factor)
        change = (output_after - output_before).float().norm()
        return bool(change <= _TOLERANCE * output_before.float().norm())


def _move_scale(feeder: nn.Module, weights: Sequence[Tensor], factor: Tensor) -> None:
    scale_output(feeder, factor)
    for weight in weights:
        weight.div_(factor)


@contextmanager
def feeders(block: nn.Module) -> Iterator[Feeders]:
    """While open, note which norms the block's linear layers read."""
    block_feeders = Feeders(block)
    outputs: dict[nn.Module, Tensor] = {}

    def note_output(module: nn.Module, args: Any, output: Tensor) -> None:
        outputs[module] = output

    def note_input(name: str, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        for norm, output in outputs.items():
            # a block that flattens its tokens gives its layers a view of the norm's output
            same_memory = args[0].data_ptr() == output.data_ptr()
            if same_memory and args[0].numel() == output.numel():
                block_feeders.norms[name] = norm

    handles = [block.register_forward_pre_hook(block_feeders.note_call, with_kwargs=True)]
    handles += [norm.register_forward_hook(note_output) for norm in _norms(block)]
    handles += [
        linear.register_forward_pre_hook(functools.partial(note_input, name))
        for name, linear in linears(block)
    ]
    try:
        yield block_feeders
    finally:
        for handle in handles:
            handle.remove()


def _norms(block: nn.Module) -> list[nn.Module]:
    """Return the modules without children that have a weight of one dimension."""
    leaves = [module for module in block.modules() if not list(module.children())]
    weights = [getattr(module, "weight", None) for module in leaves]
    return [
        module
        for module, weight in zip(leaves, weights, strict=True)
        if isinstance(weight, Tensor) and weight.dim() == 1
    ]
