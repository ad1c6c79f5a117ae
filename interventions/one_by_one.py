"""Whether a model's blocks can be run one by one, asked before its weights are loaded."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from interventions.anatomy import blocks
from interventions.errors import InvalidInput
from interventions.partial_pass import (
    check_order,
    not_one_by_one,
    reads_any,
    reads_other_output,
    replaced,
)


def check_one_by_one(model: PreTrainedModel) -> None:
    """Check that the model's blocks can be run one by one, as far as a pass without weights tells.

    The blocks compute nothing in that pass. Where it cannot be done, ``block_calls`` tells later.

    Args:
        model: its weights may be on the meta device; not changed.

    Raises:
        InvalidInput: the model does not call each block once, in order, or a block reads what
            another one gives beside hidden states, or its output has names.
    """
    weight = next(model.parameters())
    tokens = torch.zeros(1, 2, dtype=torch.long, device=weight.device)
    # a mask as the blocks get it: of another, models ask for values, which the meta device lacks
    mask = torch.zeros(1, 1, 2, 2, dtype=weight.dtype, device=weight.device)
    encodings = ({"input_ids": tokens, "attention_mask": mask}, {"input_ids": tokens})
    was_training = model.training
    model.eval()
    reads_names = False
    try:
        # blocks give a tensor, or a tuple with so many after it
        for extra_count, encoded in itertools.product((None, 0, 1, 2), encodings):
            order: list[int] = []
            outputs: list[Any] = []
            try:
                _pass_without_blocks(model, encoded, extra_count, order, outputs)
            except InvalidInput:
                raise
            except AttributeError as error:
                reads_names |= any(error.obj is output for output in outputs)
                continue
            except Exception:  # another form of output, or what the meta device cannot do
                continue
            check_order(model, order)
            return
        if reads_names:  # as Reformer's two streams
            raise not_one_by_one(model, "their output is not hidden states, but has names")
    finally:
        model.train(was_training)


@torch.no_grad()
def _pass_without_blocks(
    model: PreTrainedModel,
    encoded: Mapping[str, Tensor],
    extra_count: int | None,
    order: list[int],
    outputs: list[Any],
) -> None:
    """Note the order of the blocks in a pass in which they return what they got, and that."""
    extra_outputs: list[Tensor] = []

    def forward(index: int, *args: Any, **kwargs: Any) -> Any:
        if reads_any(extra_outputs, args, kwargs):
            raise reads_other_output(model, index)
        order.append(index)
        hidden = args[0] if args else kwargs.get("hidden_states", next(iter(kwargs.values())))
        output = hidden
        if extra_count is not None:
            extra_outputs.extend(torch.empty_like(hidden) for _ in range(extra_count))
            output = (hidden, *extra_outputs[len(extra_outputs) - extra_count :])
        outputs.append(output)
        return output

    with ExitStack() as opened:
        for index, block in enumerate(blocks(model)):
            opened.enter_context(replaced(block, functools.partial(forward, index)))
        model(**encoded, use_cache=False)
