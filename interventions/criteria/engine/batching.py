"""Batches of rows by length, as large as the memory allows, and smaller where it does not."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel

from interventions.text_model import text_config

# of one batch on a CPU: larger ones are no faster, as they leave its caches
CPU_BYTES = 2**26
_GPU_SHARE = 0.5  # of the memory that is free: what a batch takes is an estimate
_MOST_TOKENS = 2**16  # of a batch: more are no faster, and the progress bar is to move


@dataclass(frozen=True)
class Budget:
    """How many tokens a batch may have, padding counted.

    Attributes:
        memory: bytes of one batch.
        token_bytes: of one token, whatever the length of its row.
        pair_bytes: of one token for each token of its row, as attention's masks take.
        most_tokens: the greatest number in any case.
    """

    memory: int
    token_bytes: int
    pair_bytes: int
    most_tokens: int = _MOST_TOKENS

    def rows(self, longest: int) -> int:
        """Return how many rows a batch may have whose longest has so many tokens; at least 1.

        Example:
            >>> Budget(memory=1000, token_bytes=10, pair_bytes=0).rows(longest=25)
            4
        """
        row_bytes = longest * (self.token_bytes + longest * self.pair_bytes)
        return max(1, min(self.memory // row_bytes, self.most_tokens // longest))


def budget(model: PreTrainedModel, logits_too: bool) -> Budget:
    """Return the budget of a pass without gradients.

    On a GPU it is half of the memory that is free, on another device ``CPU_BYTES``. What a token
    takes is estimated from the model's sizes.

    Args:
        model: on its device.
        logits_too: whether the logits of all tokens are computed at once.
    """
    config = text_config(model)
    item_bytes = model.dtype.itemsize
    inner = getattr(config, "intermediate_size", None)
    widths = [4 * config.hidden_size, *([inner] if isinstance(inner, int) else [])]
    token_bytes = item_bytes * (8 * config.hidden_size + 3 * max(widths))
    if logits_too:
        token_bytes += config.vocab_size * (item_bytes + 4)  # and their copy in float32
    # a mask; without a fused kernel also the scores of all heads, and their softmax in float32
    heads = getattr(config, "num_attention_heads", None)
    is_eager = getattr(config, "_attn_implementation", None) == "eager"
    pair_bytes = 4 + (heads * (item_bytes + 4) if is_eager and isinstance(heads, int) else 0)
    return Budget(memory_bytes(model.device), token_bytes, pair_bytes)


def memory_bytes(device: torch.device) -> int:
    """Return how many bytes one batch may take on a device.

    Example:
        >>> memory_bytes(torch.device("cpu")) == CPU_BYTES
        True
    """
    if device.type != "cuda":
        return CPU_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    # what PyTorch holds and does not use
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(_GPU_SHARE * (free + unused))


def run_in_batches(
    lengths: Sequence[int],
    limits: Budget,
    compute: Callable[[list[int]], None],
    padded: bool = True,
    borders: Sequence[int] = (),
) -> None:
    """Call a function with the indices of rows, batch by batch, the longest rows first.

    A batch that runs out of memory is computed again in halves, and later ones are no larger.

    Args:
        lengths: tokens of each row, at least one.
        limits: of a batch; they are reduced where they turn out to be too much.
        compute: what to do with a batch.
        padded: whether rows of different lengths may be in one batch.
        borders: lengths that no batch crosses: one row is at most as long, and another longer.

    Raises:
        torch.OutOfMemoryError: a single row takes more than there is.

    Example:
        >>> run_in_batches([3, 9, 4], Budget(memory=80, token_bytes=10, pair_bytes=0), print)
        [1]
        [2, 0]
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        batch = order[start : start + limits.rows(longest)]
        shortest = longest if not padded else _shortest(longest, borders)
        batch = [index for index in batch if lengths[index] >= shortest]
        if _is_computed(compute, batch):
            start += len(batch)
        else:
            limits = replace(limits, most_tokens=longest * (len(batch) // 2))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _shortest(longest: int, borders: Sequence[int]) -> int:
    """Return the least length that a row may have beside the longest."""
    lower = bisect.bisect_left(sorted(borders), longest)
    return sorted(borders)[lower - 1] + 1 if lower else 1


def _is_computed(compute: Callable[[list[int]], None], batch: list[int]) -> bool:
    """Compute a batch; tell whether there was memory for it."""
    try:
        compute(batch)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
        # the error holds the tensors of the pass: it ends here, before the next attempt
        return False
    return True
