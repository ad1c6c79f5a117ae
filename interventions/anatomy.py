"""A decoder's anatomy, asked only here: its blocks, their linear layers, and what these read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.errors import InvalidInput


def blocks(model: nn.Module) -> nn.ModuleList:
    """Return the decoder blocks: the longest list of modules in the model.

    Raises:
        InvalidInput: the model has no list of modules.

    Example:
        >>> len(blocks(nn.ModuleDict({"layers": nn.ModuleList([nn.Identity(), nn.Identity()])})))
        2
    """
    lists = [
        module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)
    ]
    if not lists:
        raise InvalidInput(f"{type(model).__name__} has no list of decoder blocks")
    return max(lists, key=len)


def linears(block: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Yield (name within the block, layer) of every linear layer of one block.

    Example:
        >>> [name for name, _ in linears(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))]
        ['0']
    """
    for name, module in block.named_modules():
        if isinstance(module, nn.Linear):
            yield name, module


def block_linears(model: nn.Module) -> dict[str, nn.Linear]:
    """Return every linear layer in the blocks, by ``<block index>.<name>``: what is compressed.

    Example:
        >>> block = nn.ModuleDict({"up_proj": nn.Linear(2, 4), "down_proj": nn.Linear(4, 2)})
        >>> list(block_linears(nn.ModuleDict({"layers": nn.ModuleList([block])})))
        ['0.up_proj', '0.down_proj']
    """
    return {
        f"{index}.{name}": linear
        for index, block in enumerate(blocks(model))
        for name, linear in linears(block)
    }


def down_projection(block: nn.Module) -> nn.Linear:
    """Return the MLP's last linear layer, which writes to the residual stream.

    Models call it ``down_proj``, ``fc2`` or ``dense_4h_to_h``.

    Raises:
        InvalidInput: the block has no linear layer outside attention.
    """
    mlp = [
        linear for name, linear in linears(block) if "attn" not in name and "attention" not in name
    ]
    if not mlp:
        raise InvalidInput(f"{type(block).__name__} has no linear layer outside attention")
    return mlp[-1]


def gate_partner(block: nn.Module) -> tuple[str, str] | None:
    """Return the names of the up and down projections of a gated MLP; None if it is not gated.

    It computes down(act(gate(x)) * up(x)), so that scaling up's outputs scales down's inputs.
    """
    full_names = {name.rpartition(".")[2]: name for name, _ in linears(block)}
    if {"gate_proj", "up_proj", "down_proj"} <= set(full_names):
        return full_names["up_proj"], full_names["down_proj"]
    return None


def check_layers(model: PreTrainedModel, layers: Sequence[int], field: str) -> None:
    """Check that the model has these layers, and that none is named twice.

    Args:
        model: its weights may be on the meta device.
        layers: indices of blocks.
        field: how the message calls them, such as "ft.layers".

    Raises:
        InvalidInput: the model lacks a layer, or one is named twice.
    """
    block_count = len(blocks(model))
    for layer in layers:
        if list(layers).count(layer) > 1:
            raise InvalidInput(f"{field} names layer {layer} twice: {tuple(layers)!r}")
        if not 0 <= layer < block_count:
            raise InvalidInput(
                f"{field} names layer {layer}, but the model has layers 0 to {block_count - 1}"
            )


@contextmanager
def taps(modules: dict[str, nn.Linear], see: Callable[[str, Tensor], object]) -> Iterator[None]:
    """While open, call ``see(name, inputs)`` with the inputs of each module (…, in).

    Example:
        >>> layer, shapes = nn.Linear(2, 3), []
        >>> with taps({"up": layer}, lambda name, inputs: shapes.append((name, inputs.shape))):
        ...     _ = layer(torch.zeros(5, 2))
        >>> shapes
        [('up', torch.Size([5, 2]))]
    """

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        # a hook that returned something would change the module's input
        def pass_on(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            see(name, args[0].detach())

        return pass_on

    handles = [module.register_forward_pre_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def scale_output(module: nn.Module, factor: Tensor) -> None:
    """Scale the outputs (…, out) of a norm or linear layer by ``factor`` (out), in its weights."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    weight.mul_(factor if weight.dim() == 1 else factor[:, None])
    if isinstance(bias := getattr(module, "bias", None), Tensor):
        bias.mul_(factor)
