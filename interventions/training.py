"""What methods that train have in common: which weights learn, and how much of a text is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn
from transformers import PreTrainedModel

from interventions.anatomy import (
    blocks,
    check_anatomy,
    check_layers,
    context_length,
    residual_writers,
)
from interventions.errors import InvalidInput
from interventions.weight_matrix import routers


def check_writers(model: PreTrainedModel, layers: Sequence[int], field: str) -> None:
    """Check that the model has these layers, and that each has a down-projection.

    Args:
        model: its weights may be on the meta device.
        layers: indices of blocks.
        field: how the message calls them, such as "ft.layers".

    Raises:
        InvalidInput: the model lacks a layer, one is named twice, or its weights are not known.
    """
    check_layers(model, layers, field)
    check_anatomy(model)
    for layer in layers:
        for name, matrix in residual_writers(blocks(model)[layer]).items():
            # only the last of them is known as a down-projection
            if matrix.expert is None and ".experts." in f".{name}":
                raise InvalidInput(
                    f"{field} names layer {layer}, whose experts are modules of their own in"
                    f" {type(model).__name__}; only experts in one parameter can be trained"
                )


def writers(model: nn.Module, layers: Iterable[int]) -> list[nn.Parameter]:
    """Return the down-projections of some blocks' MLPs: what writes to the residual stream.

    That of a block with experts is one parameter with those of all experts, and the shared
    expert's. A router is none of them.

    Args:
        model: a transformers model.
        layers: indices of blocks.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> from interventions.lm import skeleton
        >>> [tuple(weight.shape) for weight in writers(skeleton(MODEL), [0])]
        [(128, 256)]
    """
    matrices = [
        matrix for layer in layers for matrix in residual_writers(blocks(model)[layer]).values()
    ]
    # fused experts share one parameter
    return list({id(matrix.parameter): matrix.parameter for matrix in matrices}.values())


def block_weights(block: nn.Module) -> list[nn.Parameter]:
    """Return all parameters of a block but its routers': experts learn, their choice does not."""
    router_weights = {id(weight) for router in routers(block) for weight in router.parameters()}
    return [weight for weight in block.parameters() if id(weight) not in router_weights]


def readable(model: nn.Module, tokens: int) -> int:
    """Return how many tokens of a text are used: ``tokens``, or what the model reads at once."""
    return min(tokens, context_length(model) or tokens)
