"""Parts of a forward pass: up to a block, from a block on, and what each block is called with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from interventions.anatomy import blocks
from interventions.errors import InvalidInput


class LaterPass(Protocol):
    """The pass from a block's output on, to the logits; see ``split_pass``."""

    def __call__(self, changed: Tensor, positions: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return the logits for a block's output (n, tokens, hidden).

        Args:
            changed: the output to go on with.
            positions: (rows, token positions) whose logits are wanted; None: all.

        Returns:
            (n, tokens, vocabulary), or (positions, vocabulary).
        """


class _PassEnded(Exception):
    """Ends a forward pass once what was wanted from it is known."""


def hidden_states(model: nn.Module, encoded: Mapping[str, Tensor], layer: int) -> Tensor:
    """Return the output (n, tokens, hidden) of block ``layer``, with its gradient.

    The pass ends there: later blocks are not run.
    """
    return _run_up_to(model, encoded, layer)[0]


def split_pass(
    model: PreTrainedModel, encoded: Mapping[str, Tensor], layer: int
) -> tuple[Tensor, LaterPass]:
    """Return block ``layer``'s output (n, tokens, hidden), and the pass from there on.

    The later pass runs the later blocks only, so that many variants of the output share what comes
    before it.
    """
    hidden, wrap = _run_up_to(model, encoded, layer)

    def later_pass(changed: Tensor, positions: tuple[Tensor, Tensor] | None = None) -> Tensor:
        with ExitStack() as opened:
            for block in blocks(model)[: layer + 1]:
                output = wrap(changed)
                opened.enter_context(replaced(block, lambda *_, output=output, **__: output))
            if positions is not None:
                # the head is most of a small model's work: give it only the rows that are wanted
                head = model.get_output_embeddings()
                handle = head.register_forward_pre_hook(
                    lambda module, args: (args[0][positions], *args[1:])
                )
                opened.callback(handle.remove)
            logits: Tensor = model(**encoded, use_cache=False).logits
        return logits

    return hidden, later_pass


@contextmanager
def replaced(block: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """While open, the block does what ``forward`` does."""
    # accelerate gives blocks a forward of their own, beside the class's
    instance_forward = vars(block).get("forward")
    block.forward = forward
    try:
        yield
    finally:
        if instance_forward is None:
            del block.forward
        else:
            block.forward = instance_forward


def _run_up_to(
    model: nn.Module, encoded: Mapping[str, Tensor], layer: int
) -> tuple[Tensor, Callable[[Tensor], Any]]:
    outputs: list[Any] = []

    def hook(module: nn.Module, args: Any, output: Any) -> None:
        outputs.append(output)
        raise _PassEnded

    handle = blocks(model)[layer].register_forward_hook(hook)
    try:
        model(**encoded, use_cache=False)
    except _PassEnded:
        (output,) = outputs
        return states_of(output), _wrap(output)
    finally:
        handle.remove()
    raise RuntimeError(f"the model's forward pass never reached block {layer}")


def states_of(output: Any) -> Tensor:
    """Return the hidden states in a block's output."""
    # some decoders' blocks return a tuple or a list, which begins with them
    states: Tensor = output[0] if isinstance(output, tuple | list) else output
    return states


def _wrap(output: Any) -> Callable[[Tensor], Any]:
    """Return what makes a block's output of hidden states; the rest of it stays as it was."""
    if isinstance(output, tuple | list):
        return lambda hidden: (hidden, *output[1:])
    return lambda hidden: hidden


@dataclass(frozen=True)
class BlockCall:
    """What a block is called with beside its hidden states: masks, positions, flags.

    Attributes:
        args: the positional ones after the hidden states.
        kwargs: those by name.
        name: the argument by which the hidden states are given; None: the first one.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    name: str | None = None

    def __call__(self, block: nn.Module, hidden: Tensor) -> Tensor:
        """Return the block's output for hidden states, both (n, tokens, hidden)."""
        if self.name is None:
            output = block(hidden, *self.args, **self.kwargs)
        else:
            output = block(*self.args, **self.kwargs, **{self.name: hidden})
        return states_of(output)


def block_calls(
    model: nn.Module, batches: Iterable[Mapping[str, Tensor]]
) -> Iterator[tuple[Tensor, list[BlockCall]]]:
    """Yield the first block's hidden states, and what each block is called with beside its own.

    Blocks differ in that: in their masks where some of them see a window only, in their rotary
    embeddings. No block computes anything, but once on a single token, which tells what form its
    output has.

    Args:
        model: not changed.
        batches: encoded texts.

    Yields:
        By batch: hidden states (n, tokens, hidden), and the calls by block, without any cache.

    Raises:
        InvalidInput: the model does not call each block once, in order, with the output of the one
            before: its blocks cannot be run one by one.
    """
    wraps: list[Callable[[Tensor], Any]] = []
    for encoded in batches:
        wraps = wraps or _output_forms(model, encoded)
        recorder = _Recorder(model, len(wraps))
        with ExitStack() as opened:
            for block, wrap in zip(blocks(model), wraps, strict=True):
                opened.enter_context(replaced(block, functools.partial(recorder.forward, wrap)))
            with suppress(_PassEnded):
                model(**encoded, use_cache=False)
        yield recorder.first, recorder.calls


def _output_forms(model: nn.Module, encoded: Mapping[str, Tensor]) -> list[Callable[[Tensor], Any]]:
    """Return what makes each block's output of hidden states, after a pass over one token."""
    first_token = {key: value[:1, :1] for key, value in encoded.items()}
    order: list[int] = []
    wraps: list[Callable[[Tensor], Any]] = []

    def note(index: int, module: nn.Module, args: Any, output: Any) -> None:
        order.append(index)
        wraps.append(_wrap(output))

    with ExitStack() as opened:
        for index, block in enumerate(blocks(model)):
            handle = block.register_forward_hook(functools.partial(note, index))
            opened.callback(handle.remove)
        model(**first_token, use_cache=False)
    check_order(model, order)
    return wraps


class _Recorder:
    """Stands in for the blocks of one pass: notes what each is called with."""

    def __init__(self, model: nn.Module, count: int) -> None:
        self.model, self.count = model, count
        self.calls: list[BlockCall] = []
        self.first = self.latest = torch.empty(0)
        self.others: list[Tensor] = []  # what blocks gave beside hidden states

    def forward(self, wrap: Callable[[Tensor], Any], *args: Any, **kwargs: Any) -> Any:
        first_name = next(iter(kwargs), "")
        name = None if args else "hidden_states" if "hidden_states" in kwargs else first_name
        hidden: Tensor = args[0] if name is None else kwargs.pop(name)
        if not self.calls:
            self.first = hidden
        elif not _same(hidden, self.latest):
            raise not_one_by_one(
                self.model, f"block {len(self.calls)} does not read what the block before it wrote"
            )
        if reads_any(self.others, args, kwargs):
            raise reads_other_output(self.model, len(self.calls))
        self.latest = hidden
        self.calls.append(BlockCall(_without_cache(args[1:]), _named_without_cache(kwargs), name))
        if len(self.calls) == self.count:
            raise _PassEnded
        output = wrap(hidden)
        self.others += _other_tensors(output)
        return output


def check_order(model: nn.Module, order: list[int]) -> None:
    """Raise InvalidInput if the model did not call each block once, in order."""
    count = len(blocks(model))
    if order != list(range(count)):
        called = ", ".join(map(str, order[:20]))
        raise not_one_by_one(model, f"it calls its {count} blocks in the order {called}")


def _other_tensors(output: Any) -> list[Tensor]:
    rest = output[1:] if isinstance(output, tuple | list) else ()
    return [value for value in rest if isinstance(value, Tensor)]


def reads_any(outputs: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether a block is called with one of the tensors that other blocks gave."""
    return any(value is output for value in (*args, *kwargs.values()) for output in outputs)


def reads_other_output(model: nn.Module, index: int) -> InvalidInput:
    """Return the error of a block that reads more of another than its hidden states."""
    return not_one_by_one(
        model, f"block {index} reads more of an earlier block than its hidden states"
    )


def not_one_by_one(model: nn.Module, reason: str) -> InvalidInput:
    """Return the error of a model whose blocks cannot be run one by one, for a reason."""
    return InvalidInput(f"the blocks of {type(model).__name__} cannot be run one by one: {reason}")


def _same(hidden: Tensor, previous: Tensor) -> bool:
    if hidden.shape != previous.shape:
        return False
    return hidden.data_ptr() == previous.data_ptr() or torch.equal(hidden, previous)


def _without_cache(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if isinstance(value, Cache) else value for value in args)


def _named_without_cache(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, Cache) else value for key, value in kwargs.items()}
