"""Calibration block by block: what a layer's inputs look like once the blocks before it changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interventions.anatomy import blocks, linears, taps
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.partial_pass import first_inputs

See = Callable[[str, Tensor], object]
Observe = Callable[[See], None]
_BATCH = 2**20  # numbers that the widest layer of a block sees or gives at once, padding included
_MAX_TOKENS = 2048  # of a text


@torch.no_grad()
def calibrated_blocks(lm: LM, texts: Sequence[str]) -> Iterator[tuple[nn.Module, Observe]]:
    """Yield (block, observe) for each block in order; a block may be changed until the next one.

    ``observe(see)`` runs the calibration texts through the block and calls ``see(name, inputs)``
    with the inputs (tokens, in) of every linear layer, padding left out, shorter texts first.
    Layers that share their inputs get the same tensor object, one right after the other. When the
    caller asks for the next block, the outputs of the changed block become its inputs. In memory:
    the hidden states of all texts, once.

    Args:
        lm: the model; this function changes none of its weights.
        texts: what to calibrate on, at least one; each is cut to 2048 tokens.

    Raises:
        ValueError: there is no text.
    """
    if not texts:
        raise ValueError("calibration needs at least one text")
    states, keywords, token_masks = [], [], []
    for batch in _batches(lm, texts):
        encoded = lm.encode(batch, _MAX_TOKENS)
        hidden, arguments = first_inputs(lm.model, encoded)
        states.append(hidden)
        keywords.append(arguments)
        token_masks.append(encoded["attention_mask"].bool())
    for block in blocks(lm.model):

        def observe(see: See, block: nn.Module = block) -> None:
            for hidden, arguments, mask in zip(states, keywords, token_masks, strict=True):
                with taps(dict(linears(block)), _without_padding(see, mask)):
                    block(hidden, **arguments)

        yield block, observe
        # only now: the caller has changed the block in the meantime
        for i, (hidden, arguments) in enumerate(zip(states, keywords, strict=True)):
            output = block(hidden, **arguments)
            states[i] = output[0] if isinstance(output, tuple) else output


def _batches(lm: LM, texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts, shortest first, as many at once as the widest layer has room for.

    Texts of like length stand together, so that few tokens are padding.
    """
    encoded = lm.tokenizer(list(texts), truncation=True, max_length=_MAX_TOKENS)
    lengths = map(len, encoded["input_ids"])
    most_tokens = _BATCH // max(
        max(linear.weight.shape) for _, linear in linears(blocks(lm.model)[0])
    )
    batch: list[str] = []
    for length, text in sorted(zip(lengths, texts, strict=True)):
        if batch and (len(batch) + 1) * length > most_tokens:
            yield batch
            batch = []
        batch.append(text)
    yield batch


def _without_padding(see: See, mask: Tensor) -> See:
    # (inputs, inputs without padding) of the latest layer; the reference to the former keeps
    # another tensor from getting its address
    latest: list[Tensor] = []

    def see_tokens(name: str, inputs: Tensor) -> None:
        shared = (
            latest and latest[0].data_ptr() == inputs.data_ptr() and latest[0].shape == inputs.shape
        )
        if not shared:
            latest[:] = [inputs, _tokens_only(name, inputs, mask)]
        see(name, latest[1])

    return see_tokens


def _tokens_only(name: str, inputs: Tensor, mask: Tensor) -> Tensor:
    """Return (tokens, in) without padding, also where a block flattens (texts, tokens) into one."""
    flat = inputs.flatten(0, -2)
    if mask.all():
        return flat
    if len(flat) != mask.numel():
        raise InvalidInput(
            f"layer {name} sees {len(flat)} of {mask.numel()} tokens:"
            " padding cannot be told from text"
        )
    return flat[mask.flatten()]


@dataclass(eq=False)
class Inputs:
    """Statistics of a linear layer's inputs x over the calibration tokens.

    Attributes:
        gram: the mean of x x' over tokens, (in, in), float32: half the Hessian of the mean squared
            error of the layer's output.
        magnitude: the mean of ``|x|``, (in), float32.
        tokens: how many tokens were seen.
    """

    gram: Tensor
    magnitude: Tensor
    tokens: int = 0

    def error(self, change: Tensor) -> float:
        """Return the mean squared norm of the output's change, for a change (out, in) of weights.

        Example:
            >>> inputs = Inputs(gram=torch.eye(2), magnitude=torch.ones(2), tokens=1)
            >>> inputs.error(torch.tensor([[3.0, 4.0]]))
            25.0
        """
        return float(((change.float() @ self.gram) * change.float()).sum())


def input_statistics(observe: Observe) -> dict[str, Inputs]:
    """Return the statistics by layer of one block; layers that share inputs share the object."""
    statistics: dict[str, Inputs] = {}
    latest: list[tuple[Tensor, Inputs]] = []

    def see(name: str, inputs: Tensor) -> None:
        if latest and latest[0][0] is inputs:
            statistics[name] = latest[0][1]
            return
        x = inputs.float()  # (tokens, in)
        width = x.shape[1]
        if name not in statistics:
            statistics[name] = Inputs(x.new_zeros(width, width), x.new_zeros(width))
        sums = statistics[name]
        sums.gram.addmm_(x.T, x)
        sums.magnitude += x.abs().sum(0)
        sums.tokens += len(x)
        latest[:] = [(inputs, sums)]

    observe(see)
    for sums in set(statistics.values()):
        sums.gram /= sums.tokens
        sums.magnitude /= sums.tokens
    return statistics


def by_inputs(statistics: dict[str, Inputs], change: Callable[[list[str], Inputs], object]) -> None:
    """Call ``change`` once per shared inputs, with the names of their layers and the statistics.

    Each entry of ``statistics`` is deleted after its call: a wide layer's Hessian is large.
    """
    groups: dict[int, list[str]] = {}
    for name, inputs in statistics.items():
        groups.setdefault(id(inputs), []).append(name)
    for names in groups.values():
        change(names, statistics[names[0]])
        for name in names:
            del statistics[name]
