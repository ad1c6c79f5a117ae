"""A decoder's anatomy, asked only here: its blocks, their linear layers, their MLP down-projection, and taps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.registry import InvalidInput


def blocks(model: nn.Module) -> nn.ModuleList:
    """The decoder blocks: the longest list of modules in the model."""
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m)]
    if not lists:
        raise InvalidInput(f"{type(model).__name__} has no list of decoder blocks")
    return max(lists, key=len)


def linears(block: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """(name within the block, layer) of every linear layer of one block."""
    for name, module in block.named_modules():
        if isinstance(module, nn.Linear):
            yield name, module


def block_linears(model: nn.Module) -> dict[str, nn.Linear]:
    """Every linear layer in the blocks, by ``<block index>.<name>``: what compression works on."""
    return {f"{i}.{name}": linear for i, block in enumerate(blocks(model)) for name, linear in linears(block)}


def down_projection(block: nn.Module) -> nn.Linear:
    """The MLP's last linear layer (``down_proj``, ``fc2``, ``dense_4h_to_h``), which writes to the residual stream."""
    mlp = [linear for name, linear in linears(block) if "attn" not in name and "attention" not in name]
    if not mlp:
        raise InvalidInput(f"{type(block).__name__} has no linear layer outside attention")
    return mlp[-1]


def check_layers(model: PreTrainedModel, layers: Sequence[int], what: str) -> None:
    """Raise InvalidInput if the model lacks a layer."""
    have = len(blocks(model))
    for layer in layers:
        if not 0 <= layer < have:
            raise InvalidInput(f"{what} names layer {layer}, but the model has layers 0 to {have - 1}")


@contextmanager
def taps(modules: dict[str, nn.Linear], see: Callable[[str, Tensor], object]) -> Iterator[None]:
    """While open, call ``see(name, inputs)`` with the inputs of each module (…, in); closes itself."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            see(name, args[0].detach())  # a hook that returned something would change the input

        return look

    handles = [module.register_forward_pre_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
