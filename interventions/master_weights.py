"""Master weights: float32 copies of the weights that are trained in a model of less precision.

In bfloat16 a weight of 0.02 has neighbours at a distance of 1e-4, so that most steps of 1e-5 are
lost when they are added to it, and Adam's moments are as coarse.

Source: Micikevicius et al. 2018, "Mixed Precision Training", section 3.1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from interventions.errors import InvalidInput
from interventions.float32_passes import float32_passes


class MasterWeights:
    """What an optimizer steps, and the weights of the model, which are rounded from it.

    Attributes:
        tensors: what to give to the optimizer: float32 copies, or the model's own weights where
            these are float32, or where no copies are wanted.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
        >>> with master_weights([weight]) as masters:
        ...     optimizer = torch.optim.SGD(masters.tensors, lr=1e-3)
        ...     for _ in range(4):
        ...         weight.sum().backward()
        ...         optimizer.step()
        ...         masters.round()
        ...         optimizer.zero_grad()
        >>> masters.tensors[0].dtype, weight.dtype, weight.tolist()
        (torch.float32, torch.bfloat16, [0.99609375, 0.99609375])
    """

    def __init__(self, weights: Sequence[nn.Parameter], tensors: Sequence[nn.Parameter]) -> None:
        """Take the model's weights, and what is trained in their place, in the same order."""
        self._weights, self.tensors = list(weights), list(tensors)

    def passes(self, model: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the model computes with the trained tensors, in float32.

        Where the model's own weights are trained, it computes as it is.

        Args:
            model: a transformers model that has the weights.
        """
        if any(tensor.dtype != torch.float32 for tensor in self.tensors):
            return contextlib.nullcontext()
        replaced = dict(zip(self._weights, self.tensors, strict=True))
        return float32_passes(model, replaced)

    @torch.no_grad()
    def round(self) -> None:
        """Give the model's weights the values nearest to the copies': after each step."""
        for weight, tensor in zip(self._weights, self.tensors, strict=True):
            if tensor is not weight:
                weight.copy_(tensor)


@contextmanager
def master_weights(
    weights: Sequence[nn.Parameter], *, copies: bool = True
) -> Iterator[MasterWeights]:
    """Switch the gradients of weights on; while open, add them up in float32 copies.

    The gradients are computed in the weights' own dtype. A copy costs 4 bytes a weight, and its
    optimizer's state and gradient are float32 too. Weights in float32 are trained without a copy.

    Args:
        weights: parameters of a model, of float32, bfloat16 or float16.
        copies: whether there are copies; without, the weights themselves are trained.

    Raises:
        InvalidInput: weights in float16 are to be trained without copies.
    """
    if not copies and any(weight.dtype == torch.float16 for weight in weights):
        # Adam's epsilon, 1e-8, is 0 in float16: 0 / 0 where a gradient is 0
        raise InvalidInput("master_weights=False cannot train in float16; use master_weights=True")
    tensors: list[nn.Parameter] = []
    handles = []
    for weight in weights:
        weight.requires_grad_(True)
        if weight.dtype == torch.float32 or not copies:
            tensors.append(weight)
            continue
        master = nn.Parameter(weight.detach().to(torch.float32))
        handles.append(weight.register_post_accumulate_grad_hook(_add_to(master)))
        tensors.append(master)
    try:
        yield MasterWeights(weights, tensors)
    finally:
        for handle in handles:
            handle.remove()
        for weight in weights:
            weight.requires_grad_(False)


def _add_to(master: Tensor) -> Callable[[Tensor], None]:
    """Return a hook that moves a weight's new gradient to its copy, and frees the former."""

    def move(weight: Tensor) -> None:
        assert weight.grad is not None
        if master.grad is None:
            master.grad = weight.grad.to(torch.float32)
        else:
            master.grad += weight.grad
        weight.grad = None

    return move
