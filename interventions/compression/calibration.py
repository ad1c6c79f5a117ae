"""Block-by-block calibration: what the block-wise compressions share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interventions.layers import blocks, linears, taps
from interventions.lm import LM, batches

See = Callable[[str, Tensor], object]
Observe = Callable[[See], None]
_BATCH = 32  # texts


class _Enough(Exception):
    """Raised to end a forward pass once the first block's inputs are known."""


@torch.no_grad()
def calibrated_blocks(lm: LM, texts: Sequence[str]) -> Iterator[tuple[nn.Module, Observe]]:
    """Yield (block, observe) for each block in order.

    ``observe(see)`` runs the calibration texts through the block and calls ``see(name, inputs)`` with the inputs
    (tokens, in) of every linear layer, padding left out. After the caller has changed the block, its new outputs
    become the next block's inputs. In memory: the hidden states of all texts, once.
    """
    if not texts:
        raise ValueError("calibration needs at least one text")
    states, keywords, real = [], [], []
    for batch in batches(texts, _BATCH):
        encoded = lm.encode(batch)
        hidden, arguments = _first_inputs(lm, encoded)
        states.append(hidden)
        keywords.append(arguments)
        real.append(encoded["attention_mask"].bool())
    for block in blocks(lm.model):

        def observe(see: See, block: nn.Module = block) -> None:
            for hidden, arguments, mask in zip(states, keywords, real, strict=True):
                with taps(dict(linears(block)), functools.partial(_see_real, see, mask)):
                    block(hidden, **arguments)

        yield block, observe
        for i, (hidden, arguments) in enumerate(zip(states, keywords, strict=True)):
            out = block(hidden, **arguments)
            states[i] = out[0] if isinstance(out, tuple) else out


def _see_real(see: See, mask: Tensor, name: str, inputs: Tensor) -> None:
    see(name, inputs[mask])


def _first_inputs(lm: LM, encoded: Any) -> tuple[Tensor, dict[str, Any]]:
    seen: list[tuple[Tensor, dict[str, Any]]] = []

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs.pop("hidden_states")
        seen.append((hidden, {k: v for k, v in kwargs.items() if k != "past_key_values"}))
        raise _Enough

    handle = blocks(lm.model)[0].register_forward_pre_hook(hook, with_kwargs=True)
    try:
        lm.model(**encoded, use_cache=False)
    except _Enough:
        return seen[0]
    finally:
        handle.remove()
    raise RuntimeError("the model's forward pass never reached its first block")
