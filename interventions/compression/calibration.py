"""Block-by-block calibration: what the block-wise compressions share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interventions.anatomy import blocks, first_inputs, linears, taps
from interventions.errors import InvalidInput
from interventions.lm import LM

See = Callable[[str, Tensor], object]
Observe = Callable[[See], None]
_BATCH = 2**20  # numbers that the widest layer of a block sees or gives at once, padding included
_MAX_TOKENS = 2048  # of a text


@torch.no_grad()
def calibrated_blocks(lm: LM, texts: Sequence[str]) -> Iterator[tuple[nn.Module, Observe]]:
    """Yield (block, observe) for each block in order.

    ``observe(see)`` runs the calibration texts through the block and calls ``see(name, inputs)`` with the inputs
    (tokens, in) of every linear layer, padding left out, shorter texts first; layers that share their inputs get the
    same tensor object, one right after the other. After the caller has changed the block, its new outputs become the
    next block's inputs. In memory: the hidden states of all texts, once.
    """
    if not texts:
        raise ValueError("calibration needs at least one text")
    states, keywords, real = [], [], []
    for batch in _batches(lm, texts):
        encoded = lm.encode(batch, _MAX_TOKENS)
        hidden, arguments = first_inputs(lm.model, encoded)
        states.append(hidden)
        keywords.append(arguments)
        real.append(encoded["attention_mask"].bool())
    for block in blocks(lm.model):

        def observe(see: See, block: nn.Module = block) -> None:
            for hidden, arguments, mask in zip(states, keywords, real, strict=True):
                with taps(dict(linears(block)), _without_padding(see, mask)):
                    block(hidden, **arguments)

        yield block, observe
        for i, (hidden, arguments) in enumerate(zip(states, keywords, strict=True)):
            out = block(hidden, **arguments)
            states[i] = out[0] if isinstance(out, tuple) else out


def _batches(lm: LM, texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts by length, so that few tokens are padding; as many at once as the widest layer has room for."""
    lengths = map(
        len, lm.tokenizer(list(texts), truncation=True, max_length=_MAX_TOKENS)["input_ids"]
    )
    room = _BATCH // max(max(linear.weight.shape) for _, linear in linears(blocks(lm.model)[0]))
    batch: list[str] = []
    for length, text in sorted(zip(lengths, texts, strict=True)):
        if batch and (len(batch) + 1) * length > room:
            yield batch
            batch = []
        batch.append(text)
    yield batch


def _without_padding(see: See, mask: Tensor) -> See:
    latest: list[
        Tensor
    ] = []  # raw, masked: holding the raw one keeps its memory from being taken by another

    def seen(name: str, inputs: Tensor) -> None:
        if not (
            latest and latest[0].data_ptr() == inputs.data_ptr() and latest[0].shape == inputs.shape
        ):
            latest[:] = [inputs, _real(name, inputs, mask)]
        see(name, latest[1])

    return seen


def _real(name: str, inputs: Tensor, mask: Tensor) -> Tensor:
    """(tokens, in) without padding, also where a block flattens (texts, tokens) into one."""
    flat = inputs.flatten(0, -2)
    if mask.all():
        return flat
    if len(flat) != mask.numel():
        raise InvalidInput(
            f"layer {name} sees {len(flat)} of {mask.numel()} tokens: padding cannot be told from text"
        )
    return flat[mask.flatten()]


@dataclass(eq=False)
class Inputs:
    """What the calibration tokens show of a linear layer's inputs x.

    Attributes:
        gram: the mean of x x' over tokens, (in, in), float32: the Hessian of the layer's squared error, up to 2.
        magnitude: the mean of ``|x|``, (in), float32.
        tokens: how many.
    """

    gram: Tensor
    magnitude: Tensor
    tokens: int = 0

    def error(self, change: Tensor) -> float:
        """Mean squared norm of the change of the layer's output, for a change (out, in) of its weights."""
        return float(((change.float() @ self.gram) * change.float()).sum())


def input_statistics(observe: Observe) -> dict[str, Inputs]:
    """Name -> Inputs, of one block; layers that share their inputs share the object."""
    found: dict[str, Inputs] = {}
    latest: list[tuple[Tensor, Inputs]] = []

    def see(name: str, inputs: Tensor) -> None:
        if latest and latest[0][0] is inputs:
            found[name] = latest[0][1]
            return
        x = inputs.float()
        size = x.shape[1]
        if name not in found:
            found[name] = Inputs(x.new_zeros(size, size), x.new_zeros(size))
        one = found[name]
        one.gram.addmm_(x.T, x)
        one.magnitude += x.abs().sum(0)
        one.tokens += len(x)
        latest[:] = [(inputs, one)]

    observe(see)
    for one in set(found.values()):
        one.gram /= one.tokens
        one.magnitude /= one.tokens
    return found


def by_inputs(statistics: dict[str, Inputs], change: Callable[[list[str], Inputs], object]) -> None:
    """Call ``change`` with the names of the layers that share inputs, and these; then forget them, Hessian and all."""
    groups: dict[int, list[str]] = {}
    for name, one in statistics.items():
        groups.setdefault(id(one), []).append(name)
    for names in groups.values():
        change(names, statistics[names[0]])
        for name in names:
            del statistics[name]
