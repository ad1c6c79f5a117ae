"""The Optimal Brain Surgeon sweep that SparseGPT and GPTQ share: settle column after column, make up for the error."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Given the current weights (columns, out) of a block of columns, their indices (columns) and the pivots (columns),
# returns what settles one of them: (position in the block, its weights (out)) -> its final weights (out).
Settle = Callable[[Tensor, Tensor, Tensor], Callable[[int, Tensor], Tensor]]
BLOCK = 128  # columns whose updates are applied at once to the ones after them


def sweep(
    weights: Sequence[Tensor],
    gram: Tensor,
    settle: Settle,
    damp: float,
    order: Tensor | None = None,
) -> list[Tensor]:
    """Settle the columns (inputs) of layers that share their inputs one by one; the later ones absorb the error.

    With U the upper Cholesky factor of the inverse Hessian, settling column j at value q makes the error
    e = (w_j - q) / U_jj, and every later column k becomes w_k - e U_jk.

    Args:
        weights: (out, in) each, any float dtype; not changed. The rows of all are settled together.
        gram: the Hessian (in, in), up to a factor; not changed.
        settle: what a column's final weights are.
        damp: share of the Hessian's mean diagonal that is added to its diagonal.
        order: indices (in) in which columns are settled; from left to right by default.

    Returns:
        The settled weights (out, in) of each layer, float32.

    Source: Frantar et al. 2023, "GPTQ", algorithm 1; Frantar and Alistarh 2023, "SparseGPT", algorithm 1.
    """
    rows = [len(weight) for weight in weights]
    columns = torch.arange(len(gram), device=gram.device) if order is None else order
    w = gram.new_empty(
        len(gram), sum(rows), dtype=torch.float32
    )  # (in, out): a column is contiguous
    for part, weight in zip(w.split(rows, dim=1), weights, strict=True):
        for some in range(0, len(w), BLOCK):
            part[some : some + BLOCK] = weight.T[columns[some : some + BLOCK]]
    _settle_all(w, _inverse_factor(gram, damp, order), columns, settle)
    if order is not None:
        back = order.argsort()
        for some_rows in w.split(BLOCK, dim=1):
            some_rows.copy_(some_rows[back])
    return [part.T for part in w.split(rows, dim=1)]


def _settle_all(w: Tensor, factor: Tensor, columns: Tensor, settle: Settle) -> None:
    for start in range(0, len(w), BLOCK):
        end = min(start + BLOCK, len(w))
        block, local = w[start:end], factor[start:end, start:end]
        pivots = local.diagonal()
        fix = settle(block, columns[start:end], pivots)
        errors = torch.empty_like(block)
        for j in range(end - start):
            final = fix(j, block[j])
            torch.sub(block[j], final, out=errors[j]).div_(pivots[j])
            block[j:].addr_(local[j, j:], errors[j], alpha=-1)
            block[j] = final
        w[end:].addmm_(factor[start:end, end:].T, errors, alpha=-1)


def _inverse_factor(gram: Tensor, damp: float, order: Tensor | None) -> Tensor:
    """U (in, in), upper: U'U is the inverse of the damped Hessian, in the order given."""
    hessian = gram.float().clone() if order is None else gram.float()[order[:, None], order]
    diagonal = hessian.diagonal()
    mean = diagonal.mean()
    if mean == 0:
        mean = torch.ones_like(mean)
    diagonal[diagonal == 0] = mean  # an input that was never seen: any weight is as good
    diagonal += damp * mean
    # each into the memory of the one before, column-major as LAPACK wants it (of a symmetric matrix: the same)
    hessian = hessian.mT
    torch.linalg.cholesky(hessian, out=hessian)
    torch.cholesky_inverse(hessian, out=hessian)
    return torch.linalg.cholesky(hessian, upper=True, out=hessian)
