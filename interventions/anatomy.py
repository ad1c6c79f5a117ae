"""A decoder's anatomy, asked only here: its blocks, their linear layers, and what these read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.errors import InvalidInput
from interventions.text_model import blocks as blocks
from interventions.text_model import context_length as context_length
from interventions.text_model import text_config as text_config
from interventions.weight_matrix import WeightMatrix, unknown_matrices, weight_matrices

_ATTENTION = ("attn", "attention")
_CROSS_ATTENTION = ("encoder_attn", "crossattention", "cross_attn")


def linears(block: nn.Module) -> Iterator[tuple[str, WeightMatrix]]:
    """Yield (name within the block, matrix) of every weight matrix of one block.

    A matrix is a linear layer's, a Conv1D's, or one of a fused expert's; routers are left out.

    Example:
        >>> [name for name, _ in linears(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))]
        ['0']
    """
    yield from weight_matrices(block)


def block_linears(model: nn.Module) -> dict[str, WeightMatrix]:
    """Return every weight matrix in the blocks, by ``<block index>.<name>``: what is compressed.

    Raises:
        InvalidInput: the blocks have a weight matrix of no known kind: what was done with the
            others would look like all.

    Example:
        >>> block = nn.ModuleDict({"up_proj": nn.Linear(2, 4), "down_proj": nn.Linear(4, 2)})
        >>> list(block_linears(nn.ModuleDict({"layers": nn.ModuleList([block])})))
        ['0.up_proj', '0.down_proj']
    """
    check_anatomy(model)
    return {
        f"{index}.{name}": matrix
        for index, block in enumerate(blocks(model))
        for name, matrix in linears(block)
    }


# configuration's model_type -> why its blocks cannot be taken one by one or trained
_NOT_SUPPORTED = {
    "reformer": "its blocks are reversible and keep no gradients of their own",
    "xlstm": "its blocks are recurrent and have no attention",
}


def check_anatomy(model: nn.Module) -> None:
    """Check that every weight matrix of the model's blocks is known.

    Args:
        model: its weights may be on the meta device.

    Raises:
        InvalidInput: a parameter of a block may be a weight matrix of no known kind, a block reads
            an encoder or tokens that come later, or there are no decoder blocks.
    """
    model_name, config = type(model).__name__, getattr(model, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        raise InvalidInput(f"{model_name} has an encoder: only decoders are compressed or measured")
    reason = _NOT_SUPPORTED.get(getattr(config, "model_type", ""))
    if getattr(config, "attention_type", None) == "block_sparse":
        reason = "attention_type='block_sparse' reads tokens that come later; use 'original_full'"
    if reason:
        raise InvalidInput(f"{model_name} is not supported: {reason}")
    for index, block in enumerate(blocks(model)):
        for name, parameter in unknown_matrices(block):
            raise InvalidInput(
                f"{model_name} has weights that are not known here: {index}.{name}"
                f" {tuple(parameter.shape)} is no linear layer's, Conv1D's or fused expert's"
            )
        for name, _ in block.named_children():
            if name in _CROSS_ATTENTION:
                raise InvalidInput(
                    f"{model_name} reads an encoder ({index}.{name}): only decoders are compressed"
                    " or measured"
                )
        for name, module in block.named_modules():
            # BERT's has it unless its configuration says that it is a decoder
            if getattr(module, "is_causal", True) is False:
                raise InvalidInput(
                    f"{model_name} reads texts in both directions ({index}.{name} is not causal):"
                    " only decoders are compressed or measured"
                )


def check_only_linears(model: nn.Module, what: str) -> None:
    """Check that every weight matrix of the blocks is a linear layer's.

    Args:
        model: its weights may be on the meta device.
        what: needs that, such as "backend='llmcompressor'".

    Raises:
        InvalidInput: one is a Conv1D's or a fused expert's.
    """
    for name, matrix in block_linears(model).items():
        if not isinstance(matrix.module, nn.Linear):
            raise InvalidInput(
                f"{what} knows linear layers only, but {name} of {type(model).__name__} is part of"
                f" a {type(matrix.module).__name__}; use backend='own'"
            )


def residual_writers(block: nn.Module) -> dict[str, WeightMatrix]:
    """Return the matrices of the MLP whose outputs go to the residual stream, by name.

    One in a dense block (models call it ``down_proj``, ``fc2``, ``c_proj``, ``dense_4h_to_h``);
    with experts each one's, and that of the shared expert. Never a gate or a router.

    Raises:
        InvalidInput: the block has no such matrix outside attention.
    """
    matrices = dict(linears(block))
    writers = {
        name: matrix
        for name, matrix in matrices.items()
        if matrix.expert is not None and matrix.key == "down_proj"
    }
    dense = {
        name: matrix
        for name, matrix in matrices.items()
        if matrix.expert is None and not any(part in name for part in _ATTENTION)
    }
    # the block's first matrix reads the stream
    width = next((matrix.in_features for matrix in matrices.values()), 0)
    to_stream = {name: m for name, m in dense.items() if m.out_features == width} or dense
    if to_stream:
        # layers are defined in the order in which they are applied: of one MLP's the last one
        # writes, as the first may be a gate with the up-projection, just as wide as the stream
        last = {name.rpartition(".")[0] or name: name for name in to_stream}.values()
        inner = max(to_stream[name].in_features for name in last)  # the MLP's is the widest
        name = [name for name in last if to_stream[name].in_features == inner][-1]
        writers[name] = to_stream[name]
    if not writers:
        raise InvalidInput(f"{type(block).__name__} has no linear layer outside attention")
    return writers


def down_projection(block: nn.Module) -> WeightMatrix:
    """Return the one matrix of the MLP whose outputs go to the residual stream.

    Raises:
        InvalidInput: the block has none outside attention, or experts, each of which has one.
    """
    writers = residual_writers(block)
    if len(writers) > 1:
        raise InvalidInput(
            f"{type(block).__name__} has {len(writers)} down-projections, of experts: none of them"
            " is the block's"
        )
    return next(iter(writers.values()))


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
def taps(
    modules: Mapping[str, nn.Module | WeightMatrix], see: Callable[[str, Tensor], object]
) -> Iterator[None]:
    """While open, call ``see(name, inputs)`` with the inputs of each module (…, in).

    Inputs of experts are not a module's: ``token_taps`` sees them too.

    Example:
        >>> import torch
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

    handles = [
        _module(module).register_forward_pre_hook(hook(name)) for name, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _module(module: nn.Module | WeightMatrix) -> nn.Module:
    if isinstance(module, nn.Module):
        return module
    assert module.expert is None, "an expert's inputs are not its module's"
    return module.module
