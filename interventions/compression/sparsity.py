"""What the pruning methods share: how many weights go, in which pattern, and whether they are gone."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from interventions.anatomy import block_linears
from interventions.compression import obs
from interventions.errors import InvalidInput
from interventions.lm import LM, ROWS, batches

Pattern = Literal["unstructured", "2:4", "4:8"]


def parts(pattern: Pattern) -> tuple[int, int] | None:
    """(n, m) of "n:m", n zeros in every m consecutive inputs; None if unstructured."""
    if pattern == "unstructured":
        return None
    n, _, m = pattern.partition(":")
    return int(n), int(m)


def check_pattern(method: str, pattern: Pattern, sparsity: float) -> None:
    """Raise InvalidInput where the pattern and the sparsity contradict each other."""
    structured = parts(pattern)
    if structured and sparsity != structured[0] / structured[1]:
        raise InvalidInput(
            f"{method}.pattern={pattern!r} removes half of the weights: sparsity must be 0.5, but got {sparsity!r}"
        )


def check_width(method: str, pattern: Pattern, linears: dict[str, torch.nn.Linear]) -> None:
    """Raise InvalidInput where the pattern does not divide a layer's inputs."""
    structured = parts(pattern)
    for name, linear in linears.items():
        if structured and linear.in_features % structured[1]:
            raise InvalidInput(
                f"{method}.pattern={pattern!r} does not divide the {linear.in_features} inputs of layer {name}"
            )


def removed(inputs: int, sparsity: float) -> int:
    """Weights that so many lose."""
    return int(inputs * sparsity)


def lowest_per_row(scores: Tensor, sparsity: float, pattern: Pattern = "unstructured") -> Tensor:
    """True (out, in) where a weight stays: every row, or every m inputs of it, loses its lowest scores."""
    structured = parts(pattern)
    rows = scores.unflatten(1, (-1, structured[1])).flatten(0, 1) if structured else scores
    count = structured[0] if structured else removed(scores.shape[1], sparsity)
    keep = torch.ones_like(rows, dtype=torch.bool)
    for some, kept in zip(
        rows.split(ROWS), keep.split(ROWS), strict=True
    ):  # indices take twice the scores' memory
        kept.scatter_(1, some.topk(count, largest=False, sorted=False).indices, False)
    return keep.view(scores.shape)


def lowest(scores: Tensor, sparsity: float) -> Tensor:
    """True where a weight stays: the whole of ``scores`` loses its lowest."""
    keep = torch.ones(scores.numel(), dtype=torch.bool, device=scores.device)
    keep[
        scores.flatten()
        .topk(removed(scores.numel(), sparsity), largest=False, sorted=False)
        .indices
    ] = False
    return keep.view(scores.shape)


def is_pruned(lm: LM, sparsity: float, pattern: Pattern) -> bool:
    """Whether every layer still has at least that share of zeros (in that pattern), measured."""
    return all(
        _has(linear.weight == 0, sparsity, pattern) for linear in block_linears(lm.model).values()
    )


def _has(zeros: Tensor, sparsity: float, pattern: Pattern) -> bool:
    structured = parts(pattern)
    if structured:
        return bool((zeros.unflatten(1, (-1, structured[1])).sum(-1) >= structured[0]).all())
    rows, inputs = zeros.shape
    # the least of what the methods remove: each rounds down, by row or by block of columns
    by_block = sum(
        removed(rows * len(block), sparsity) for block in batches(range(inputs), obs.BLOCK)
    )
    return int(zeros.sum()) >= min(rows * removed(inputs, sparsity), by_block)
