"""Calibration block by block: what a layer's inputs look like once the blocks before it changed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interventions.anatomy import block_linears, blocks, context_length, linears
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.loops import iterations
from interventions.padding import pads_harmlessly
from interventions.partial_pass import block_calls
from interventions.token_taps import See, token_taps
from interventions.weight_matrix import WeightMatrix

Observe = Callable[[See], None]
_BATCH = 2**20  # numbers that the widest layer of a block sees or gives at once, padding included
_MAX_TOKENS = 2048  # of a text
_FEW_TOKENS = 16  # of an expert: statistics of fewer are said to be weak
_SHOWN = 8  # experts in a message
_LISTED = re.compile(r"experts\.\d+\.").search  # an expert's, or None, of a matrix's name


@torch.no_grad()
def calibrated_blocks(lm: LM, texts: Sequence[str]) -> Iterator[tuple[nn.Module, Observe]]:
    """Yield (block, observe) for each block in order; a block may be changed until the next one.

    ``observe(see)`` runs the calibration texts through the block and calls ``see(name, inputs)``
    with the inputs (tokens, in) of every weight matrix, padding left out, shorter texts first.
    Layers that share their inputs get the same tensor object, one right after the other; an
    expert's are those of the tokens that were sent to it, which may be none. When the caller asks
    for the next block, the outputs of the changed block become its inputs. In memory: the hidden
    states of all texts, once.

    Where experts are a list of modules, the tokens that one sees do not tell which of them are
    padding: only texts of one length then stand together. So it is where padding changes what the
    model predicts for a text.

    Experts that saw few tokens are named by a warning at the end.

    Args:
        lm: the model; this function changes none of its weights.
        texts: what to calibrate on, at least one; each is cut to 2048 tokens, or to what the model
            can read.

    Raises:
        ValueError: there is no text.
        InvalidInput: the model's blocks cannot be run one by one; of ``observe``: a block never
            calls one of its matrices, an expert's apart.
    """
    if not texts:
        raise ValueError("calibration needs at least one text")
    batches = [lm.encode(batch, _most_tokens(lm)) for batch in _batches(lm, texts)]
    masks = [encoded["attention_mask"].bool() for encoded in batches]
    states, calls = [], []
    for hidden, batch_calls in block_calls(lm.model, batches):
        states.append(hidden)
        calls.append(batch_calls)
    seldom: dict[str, int] = {}
    for index, block in iterations(list(enumerate(blocks(lm.model)))):
        matrices = dict(linears(block))
        experts = [name for name, m in matrices.items() if m.expert is not None or _LISTED(name)]
        experts_tokens: dict[str, int] = {}  # of the latest observation; empty without one

        def observe(
            see: See,
            block: nn.Module = block,
            index: int = index,
            matrices: dict[str, WeightMatrix] = matrices,
            experts: Sequence[str] = experts,
            experts_tokens: dict[str, int] = experts_tokens,
        ) -> None:
            tokens: dict[str, int] = {}  # of the matrices that are called
            counted = _counting(see, tokens)
            passes = list(zip(states, calls, masks, strict=True))
            for hidden, batch_calls, mask in iterations(passes, _tokens_of_pass):
                with token_taps(matrices, mask, counted):
                    batch_calls[index](block, hidden)
            for name in experts:
                if not tokens.get(name):  # one of a list is not even called
                    counted(name, matrices[name].weight.new_empty(0, matrices[name].in_features))
                experts_tokens[name] = tokens[name]
            for name in matrices:
                if name not in tokens:
                    raise InvalidInput(
                        f"{type(lm.model).__name__} never calls {index}.{name} on texts: it cannot"
                        " be compressed by what it sees"
                    )

        yield block, observe
        seldom |= {
            f"{index}.{name.rpartition('.')[0]}": tokens
            for name, tokens in experts_tokens.items()
            if tokens < _FEW_TOKENS
        }
        # only now: the caller has changed the block in the meantime
        for i in iterations(range(len(states)), lambda i: states[i].numel()):
            states[i] = calls[i][index](block, states[i])
    if seldom:
        warnings.warn(_seldom_seen(seldom), stacklevel=3)


def _tokens_of_pass(arguments: tuple[Tensor, object, object]) -> int:
    """Return how much a pass through a block computes; its hidden states come first."""
    return arguments[0].numel()


def _most_tokens(lm: LM) -> int:
    return min(_MAX_TOKENS, context_length(lm.model) or _MAX_TOKENS)


def _counting(see: See, tokens: dict[str, int]) -> See:
    """Return ``see`` that also counts each matrix's tokens."""

    def see_and_count(name: str, inputs: Tensor) -> None:
        tokens[name] = tokens.get(name, 0) + len(inputs)
        see(name, inputs)

    return see_and_count


def _seldom_seen(tokens: dict[str, int]) -> str:
    """Return one line that names the experts with few tokens, and how many those were."""
    shown = [f"{name} ({count})" for name, count in tokens.items()]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return (
        f"calibration: {len(shown)} experts saw fewer than {_FEW_TOKENS} tokens:"
        f" {', '.join(shown[:_SHOWN])}{more}; those that saw none are compressed by their weights"
        " alone"
    )


def _batches(lm: LM, texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts, shortest first, as many at once as the widest layer has room for.

    Texts of like length stand together, so that few tokens are padding.
    """
    rows = lm.tokenizer(list(texts), truncation=True, max_length=_most_tokens(lm))["input_ids"]
    lengths = map(len, rows)
    matrices = block_linears(lm.model)
    widest = max(max(matrix.weight.shape) for matrix in matrices.values())
    unpadded = any(m.expert is None and _LISTED(name) for name, m in matrices.items())
    unpadded = unpadded or not pads_harmlessly(lm, rows)
    most_tokens = _BATCH // widest
    batch: list[str] = []
    batch_length = 0
    for length, text in sorted(zip(lengths, texts, strict=True)):
        is_full = (len(batch) + 1) * length > most_tokens
        if batch and (is_full or (unpadded and length != batch_length)):
            yield batch
            batch = []
        batch.append(text)
        batch_length = length
    yield batch


@dataclass(eq=False)
class Inputs:
    """Statistics of a linear layer's inputs x over the calibration tokens.

    Attributes:
        gram: the mean of x x' over tokens, (in, in), float32: half the Hessian of the mean squared
            error of the layer's output.
        magnitude: the mean of ``|x|``, (in), float32.
        tokens: how many tokens were seen. If none, inputs count as independent and alike (gram is
            the identity, magnitude 1): then only the weights decide.
    """

    gram: Tensor
    magnitude: Tensor
    tokens: int = 0

    @property
    def weight(self) -> float:
        """Return what its errors count beside another's whose tokens differ, as experts' do."""
        return float(max(self.tokens, 1))

    def error(self, change: Tensor) -> float:
        """Return the mean squared norm of the output's change, for a change (out, in) of weights.

        Example:
            >>> inputs = Inputs(gram=torch.eye(2), magnitude=torch.ones(2), tokens=1)
            >>> inputs.error(torch.tensor([[3.0, 4.0]]))
            25.0
        """
        return float(((change.float() @ self.gram) * change.float()).sum())


def input_statistics(observe: Observe) -> dict[str, Inputs]:
    """Return the statistics by layer of one block; layers that share inputs share the object.

    In memory: 4 bytes times the sum of in^2 over the distinct inputs of the layers seen. Of a dense
    block the widest layer's is most of it (0.8 GB for 14,336 inputs); every expert has its own, so
    that a block of Mixtral 8x7B takes 4 * 8 * (4096^2 + 14336^2) bytes = 7.1 GB.
    """
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
        if not sums.tokens:
            sums.gram.fill_diagonal_(1.0)
            sums.magnitude.fill_(1.0)
            continue
        sums.gram /= sums.tokens
        sums.magnitude /= sums.tokens
    return statistics


def input_norms(observe: Observe, unseen: float = 1.0) -> dict[str, Tensor]:
    """Return ||X_j||_2 (in) over all calibration tokens, by name of a block's matrices.

    Args:
        observe: of ``calibrated_blocks``.
        unseen: the norm of all inputs of a matrix that saw no token.
    """
    squares: dict[str, Tensor] = {}
    tokens: dict[str, int] = {}

    def see(name: str, inputs: Tensor) -> None:
        # batches add up and are not averaged: each token counts once, whatever its batch's size
        batch_squares = inputs.float().square().sum(0)  # (tokens, in) -> (in)
        squares[name] = squares[name] + batch_squares if name in squares else batch_squares
        tokens[name] = tokens.get(name, 0) + len(inputs)

    observe(see)
    return {
        name: sums.sqrt() if tokens[name] else torch.full_like(sums, unseen)
        for name, sums in squares.items()
    }


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
