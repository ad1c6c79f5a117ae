"""The training methods as plain loops: one unpadded text at a time, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from interventions.data.base import Edit
from tests.anatomies.references import decoder_blocks
from tests.anatomies.zoo import Anatomy

Rows = Sequence[tuple[list[int], int]]  # (token ids, first position that counts)


def answer_rows(tokenizer: PreTrainedTokenizerBase, edits: Sequence[Edit]) -> Rows:
    """Return each edit's prompt with its target, and where the target begins."""
    rows = []
    for edit in edits:
        whole, prompt = f"{edit.prompt} {edit.target}", edit.prompt
        rows.append((tokenizer.encode(whole), len(tokenizer.encode(prompt))))
    return rows


def text_rows(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], most: int) -> Rows:
    """Return texts, of which every token but the first counts."""
    return [(tokenizer.encode(text)[:most], 1) for text in texts]


def losses(model: Any, ids: list[int], first: int) -> Tensor:
    """Return the negative log-likelihood of each token from ``first`` on."""
    first = max(first, 1)
    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    return F.cross_entropy(logits[first - 1 : -1], torch.tensor(ids[first:]), reduction="none")


def mean_over_tokens(model: Any, rows: Rows) -> Tensor:
    """Return the mean loss over the tokens of all rows."""
    return torch.cat([losses(model, ids, first) for ids, first in rows]).mean()


def mean_over_edits(model: Any, rows: Rows) -> Tensor:
    """Return the mean over rows of each row's mean loss."""
    return torch.stack([losses(model, ids, first).mean() for ids, first in rows]).mean()


def writers(model: nn.Module, anatomy: Anatomy, layers: Sequence[int]) -> dict[str, nn.Parameter]:
    """Return the parameters by which the MLPs of some blocks write to the residual stream."""
    named: dict[str, nn.Parameter] = {}
    for layer in layers:
        parameters = dict(decoder_blocks(model, anatomy)[layer].named_parameters())
        for path in anatomy.writers:
            for name in (path, f"{path}.weight"):
                if name in parameters:
                    named[f"{layer}.{name}"] = parameters[name]
    return named


def last_parameters(model: nn.Module, anatomy: Anatomy, count: int) -> dict[str, nn.Parameter]:
    """Return all parameters of the last blocks."""
    blocks = list(decoder_blocks(model, anatomy))
    return {
        f"{index}.{name}": parameter
        for index in range(len(blocks) - count, len(blocks))
        for name, parameter in blocks[index].named_parameters()
    }


def train(
    trained: dict[str, nn.Parameter],
    loss_of_step: Callable[[int], Tensor],
    steps: int,
    optimizer: torch.optim.Optimizer,
) -> dict[str, Tensor]:
    """Take steps, and return the largest gradient of each parameter's entries."""
    greatest = {name: torch.zeros_like(parameter) for name, parameter in trained.items()}
    for step in range(steps):
        optimizer.zero_grad()
        loss_of_step(step).backward()
        optimizer.step()
        for name, parameter in trained.items():
            if parameter.grad is not None:
                greatest[name] = torch.maximum(greatest[name], parameter.grad.abs())
    return greatest


def block_output(model: Any, anatomy: Anatomy, ids: list[int], layer: int) -> Tensor:
    """Return the output (tokens, hidden) of a block in a plain full pass."""
    outputs: list[Tensor] = []

    def hook(module: nn.Module, args: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    handle = decoder_blocks(model, anatomy)[layer].register_forward_hook(hook)
    try:
        model(input_ids=torch.tensor([ids]), use_cache=False)
    finally:
        handle.remove()
    return outputs[0][0]


def rmu_loss(
    model: Any,
    anatomy: Anatomy,
    layer: int,
    forget: Rows,
    retain: Sequence[tuple[list[int], Tensor]],
    target: Tensor,
    alpha: float,
) -> Tensor:
    """Return RMU's loss; ``retain`` has each text's ids and its output before the training."""
    away = [block_output(model, anatomy, ids, layer) - target for ids, _ in forget]
    still = [block_output(model, anatomy, ids, layer) - before for ids, before in retain]
    return torch.cat(away).square().mean() + alpha * torch.cat(still).square().mean()


def state_replaced(
    model: Any,
    anatomy: Anatomy,
    layer: int,
    position: int,
    state: Tensor,
    ids: list[int],
    first: int,
) -> Tensor:
    """Return the losses from ``first`` on if a block's output at a position were ``state``."""

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[0, position] = state.to(hidden.dtype)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = decoder_blocks(model, anatomy)[layer].register_forward_hook(hook)
    try:
        return losses(model, ids, first)
    finally:
        handle.remove()


def subject_end(tokenizer: PreTrainedTokenizerBase, edit: Edit) -> int:
    """Return the position of the token with the subject's last character, by the offsets."""
    end = edit.prompt.index(edit.subject) + len(edit.subject)
    offsets = tokenizer(edit.prompt, return_offsets_mapping=True)["offset_mapping"]
    return max(i for i, (start, stop) in enumerate(offsets) if start < end <= stop)


def greedy(model: Any, ids: list[int], count: int) -> list[int]:
    """Return the most likely next tokens, one after the other."""
    answer: list[int] = []
    for _ in range(count):
        logits = model(input_ids=torch.tensor([ids + answer]), use_cache=False).logits[0, -1]
        answer.append(int(logits.argmax()))
    return answer
