"""Parts of a forward pass: up to a block, from a block on, and the first block's inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.anatomy import blocks


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
                opened.enter_context(_skipped(block, wrap(changed)))
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
def _skipped(block: nn.Module, output: Any) -> Iterator[None]:
    """While open, the block returns ``output`` and computes nothing."""
    # accelerate gives blocks a forward of their own, beside the class's
    instance_forward = vars(block).get("forward")
    block.forward = lambda *args, **kwargs: output
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
        # some decoders' blocks return a tuple, of which the rest is to be returned as it was
        if isinstance(output, tuple):
            return output[0], lambda hidden: (hidden, *output[1:])
        return output, lambda hidden: hidden
    finally:
        handle.remove()
    raise RuntimeError(f"the model's forward pass never reached block {layer}")


def first_inputs(model: nn.Module, encoded: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
    """Return what the first block is called with; the pass ends there.

    Returns:
        Hidden states (n, tokens, hidden), and the keyword arguments without the cache.
    """
    calls: list[tuple[Tensor, dict[str, Any]]] = []

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs.pop("hidden_states")
        without_cache = {key: value for key, value in kwargs.items() if key != "past_key_values"}
        calls.append((hidden, without_cache))
        raise _PassEnded

    handle = blocks(model)[0].register_forward_pre_hook(hook, with_kwargs=True)
    try:
        model(**encoded, use_cache=False)
    except _PassEnded:
        return calls[0]
    finally:
        handle.remove()
    raise RuntimeError("the model's forward pass never reached its first block")
