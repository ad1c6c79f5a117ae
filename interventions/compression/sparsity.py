"""What the pruning methods share: how many weights go, in which pattern, and whether they went."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from interventions.anatomy import block_linears
from interventions.compression import obs
from interventions.errors import InvalidInput
from interventions.lm import LM, batches
from interventions.quantization_grid import ROWS
from interventions.weight_matrix import WeightMatrix

Pattern = Literal["unstructured", "2:4", "4:8"]


def pattern_parts(pattern: Pattern) -> tuple[int, int] | None:
    """Return (n, m) of a pattern "n:m", n zeros in every m inputs; None if unstructured.

    Example:
        >>> pattern_parts("2:4")
        (2, 4)
    """
    if pattern == "unstructured":
        return None
    n, _, m = pattern.partition(":")
    return int(n), int(m)


def check_pattern(method: str, pattern: Pattern, sparsity: float) -> None:
    """Raise InvalidInput where the pattern and the sparsity contradict each other."""
    structured = pattern_parts(pattern)
    if structured and sparsity != structured[0] / structured[1]:
        raise InvalidInput(
            f"{method}.pattern={pattern!r} removes half of the weights: sparsity must be 0.5,"
            f" but got {sparsity!r}"
        )


def check_width(method: str, pattern: Pattern, linears: dict[str, WeightMatrix]) -> None:
    """Raise InvalidInput where the pattern does not divide a layer's inputs."""
    structured = pattern_parts(pattern)
    for name, linear in linears.items():
        if structured and linear.in_features % structured[1]:
            raise InvalidInput(
                f"{method}.pattern={pattern!r} does not divide the {linear.in_features} inputs"
                f" of layer {name}"
            )


def removed_count(weights: int, sparsity: float) -> int:
    """Return how many of so many weights a sparsity removes, rounded down.

    Example:
        >>> removed_count(7, 0.5)
        3
    """
    return int(weights * sparsity)


def keep_all_but_lowest(scores: Tensor, sparsity: float) -> Tensor:
    """Return True where a weight stays: of the whole tensor, the lowest scores go.

    Args:
        scores: any shape; a higher score means a more important weight.
        sparsity: share of the weights that go.

    Returns:
        Booleans in the shape of ``scores``.

    Example:
        >>> keep_all_but_lowest(torch.tensor([[4.0, 1.0], [3.0, 2.0]]), 0.5)
        tensor([[ True, False],
                [ True, False]])
    """
    keep = torch.ones(scores.numel(), dtype=torch.bool, device=scores.device)
    count = removed_count(scores.numel(), sparsity)
    keep[scores.flatten().topk(count, largest=False, sorted=False).indices] = False
    return keep.view(scores.shape)


def keep_all_but_lowest_per_row(
    scores: Tensor, sparsity: float, pattern: Pattern = "unstructured"
) -> Tensor:
    """Return True where a weight stays: of every row the lowest scores go, or n of every m inputs.

    Args:
        scores: (out, in); a higher score means a more important weight.
        sparsity: share of a row's weights that go; a pattern has its own.
        pattern: "2:4" and "4:8" remove 2 of every 4, 4 of every 8 consecutive inputs.

    Returns:
        Booleans (out, in).

    Example:
        >>> keep_all_but_lowest_per_row(torch.tensor([[1.0, 2.0, 9.0, 8.0]]), 0.5)
        tensor([[False, False,  True,  True]])
    """
    structured = pattern_parts(pattern)
    if structured:
        count = structured[0]
        rows = scores.unflatten(1, (-1, structured[1])).flatten(0, 1)  # (out * in / m, m)
    else:
        count = removed_count(scores.shape[1], sparsity)
        rows = scores
    keep = torch.ones_like(rows, dtype=torch.bool)
    # a few rows together: the indices of all would take twice the memory of the scores
    for row_scores, row_keep in zip(rows.split(ROWS), keep.split(ROWS), strict=True):
        row_keep.scatter_(1, row_scores.topk(count, largest=False, sorted=False).indices, False)
    return keep.view(scores.shape)


def is_pruned(lm: LM, sparsity: float, pattern: Pattern) -> bool:
    """Return whether every layer has at least that share of zeros (in that pattern), measured."""
    return all(
        _has_zeros(linear.weight == 0, sparsity, pattern)
        for linear in block_linears(lm.model).values()
    )


def _has_zeros(zeros: Tensor, sparsity: float, pattern: Pattern) -> bool:
    structured = pattern_parts(pattern)
    if structured:
        zeros_per_part = zeros.unflatten(1, (-1, structured[1])).sum(-1)
        return bool((zeros_per_part >= structured[0]).all())
    rows, inputs = zeros.shape
    # the methods round down by row (Wanda) or by block of columns (SparseGPT): the least counts
    by_row = rows * removed_count(inputs, sparsity)
    by_block = sum(
        removed_count(rows * len(block), sparsity) for block in batches(range(inputs), obs.BLOCK)
    )
    return int(zeros.sum()) >= min(by_row, by_block)
