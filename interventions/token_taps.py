"""The inputs of a block's weight matrices, token by token: padding left out, experts' too."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interventions.errors import InvalidInput
from interventions.weight_matrix import WeightMatrix, first_matrix

See = Callable[[str, Tensor], object]


@contextmanager
def token_taps(matrices: Mapping[str, WeightMatrix], mask: Tensor, see: See) -> Iterator[None]:
    """While open, call ``see(name, inputs)`` with the inputs (tokens, in) of each matrix.

    Padding is left out. Matrices that share their inputs get the same tensor object, one right
    after the other. An expert's inputs are those of the tokens that its router sent to it, none
    of them too: (0, in).

    Args:
        matrices: by name, such as those of ``anatomy.linears``.
        mask: (texts, tokens), True where a token is one of a text.
        see: gets the inputs without their gradient.

    Example:
        >>> layer, shapes = nn.Linear(2, 3), []
        >>> mask = torch.tensor([[True, True], [True, False]])
        >>> with token_taps(
        ...     {"up": WeightMatrix(layer)}, mask, lambda _, inputs: shapes.append(inputs.shape)
        ... ):
        ...     _ = layer(torch.zeros(2, 2, 2))
        >>> shapes
        [torch.Size([3, 2])]
    """
    see_shared = _without_padding(see, mask)
    fused: dict[nn.Module, dict[tuple[int, str], str]] = {}
    with ExitStack() as opened:
        for name, matrix in matrices.items():
            if matrix.expert is None:
                hook = _linear_hook(name, see_shared)
                handle = matrix.module.register_forward_pre_hook(hook)
                opened.callback(handle.remove)
            else:
                fused.setdefault(matrix.module, {})[matrix.expert, matrix.key] = name
        for module, names in fused.items():
            experts_hook = _experts_hook(names, see, mask)
            handle = module.register_forward_pre_hook(experts_hook, with_kwargs=True)
            opened.callback(handle.remove)
        yield


def by_text(inputs: Tensor, mask: Tensor) -> Tensor:
    """Return inputs as (texts, tokens, in), also where a block flattens texts and tokens into one.

    Args:
        inputs: (texts, tokens, in) or (texts x tokens, in), padding included.
        mask: (texts, tokens).

    Raises:
        InvalidInput: there is not one input a token.

    Example:
        >>> by_text(torch.zeros(6, 4), torch.ones(2, 3)).shape
        torch.Size([2, 3, 4])
    """
    flat = inputs.flatten(0, -2)
    if len(flat) != mask.numel():
        raise InvalidInput(
            f"a layer sees {len(flat)} of {mask.numel()} tokens: padding cannot be told from text"
        )
    return flat.view(*mask.shape, -1)


def _linear_hook(name: str, see: See) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    # a hook that returned something would change the module's input
    def pass_on(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        see(name, args[0].detach())

    return pass_on


def _without_padding(see: See, mask: Tensor) -> See:
    # (inputs, inputs without padding) of the latest layer; the reference to the former keeps
    # another tensor from getting its address
    latest: list[Tensor] = []

    def see_tokens(name: str, inputs: Tensor) -> None:
        shared = latest and _place(latest[0]) == _place(inputs) and latest[0].shape == inputs.shape
        if not shared:
            latest[:] = [inputs, _tokens_only(inputs, mask)]
        see(name, latest[1])

    return see_tokens


def _place(tensor: Tensor) -> tuple[int, int]:
    """Return where a tensor's numbers are; unlike an address, also on the meta device."""
    return tensor.untyped_storage()._cdata, int(tensor.storage_offset())


def _tokens_only(inputs: Tensor, mask: Tensor) -> Tensor:
    """Return (tokens, in) without padding; where there is none, whatever the layer saw."""
    if bool(mask.all()):
        return inputs.flatten(0, -2)
    return by_text(inputs, mask)[mask.to(inputs.device)]


def _experts_hook(
    names: Mapping[tuple[int, str], str], see: See, mask: Tensor
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    experts = sorted({expert for expert, _ in names})

    @torch.no_grad()
    def pass_on(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = inspect.signature(module.forward).bind(*args, **kwargs)
        hidden, chosen = list(call.arguments.values())[:2]
        tokens = _tokens_only(hidden, mask)  # (tokens, hidden)
        # (tokens, experts a token): the experts that the router chose
        choices = _tokens_only(chosen.reshape(mask.numel(), -1), mask)
        for expert in experts:
            inputs = tokens[(choices == expert).any(1)]
            first = first_matrix(module)
            if (expert, first) in names:
                see(names[expert, first], inputs)
            if (expert, "down_proj") in names:
                see(names[expert, "down_proj"], _inner_states(module, expert, first, inputs))

    return pass_on


def _inner_states(module: nn.Module, expert: int, first: str, inputs: Tensor) -> Tensor:
    """Return the inputs (tokens, inner) of an expert's second matrix: computed, as the experts do.

    Args:
        module: the fused experts.
        expert: which of them.
        first: the key of their first parameter.
        inputs: (tokens, hidden) of the expert.
    """
    matrix = WeightMatrix(module, first, expert, bool(module.is_transposed))
    outputs = F.linear(inputs, matrix.weight, matrix.bias)
    experts: Any = module
    inner: Tensor
    inner = experts._apply_gate(outputs) if experts.has_gate else experts.act_fn(outputs)
    return inner
