"""The Optimal Brain Surgeon sweep that SparseGPT and GPTQ share: settle column after column, make up for the error."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Given the current weights (columns, out) of a block of columns, their indices (columns) and the pivots (columns),
# returns what settles one of them: (position in the block, its weights (out)) -> its final weights (out).
Settle = Callable[[Tensor, Tensor, Tensor], Callable[[int, Tensor], Tensor]]
BLOCK = 128  # columns whose updates are applied at once to the ones after them


def sweep(weight: Tensor, gram: Tensor, settle: Settle, damp: float, order: Tensor | None = None) -> Tensor:
    """Settle the columns (inputs) of ``weight`` (out, in) one by one; those not yet settled absorb the error.

    With U the upper Cholesky factor of the inverse Hessian, settling column j at value q makes the error
    e = (w_j - q) / U_jj, and every later column k becomes w_k - e U_jk.

    Args:
        weight: (out, in), any float dtype; not changed.
        gram: the Hessian (in, in), up to a factor; not changed.
        settle: what a column's final weights are.
        damp: share of the Hessian's mean diagonal that is added to its diagonal.
        order: indices (in) in which columns are settled; from left to right by default.

    Returns:
        The settled weights (out, in), float32.

    Source: Frantar et al. 2023, "GPTQ", algorithm 1; Frantar and Alistarh 2023, "SparseGPT", algorithm 1.
    """
    columns = torch.arange(weight.shape[1], device=weight.device) if order is None else order
    factor = _inverse_factor(gram, damp, order)
    w = weight.T[columns].float().contiguous()  # (in, out): a column is contiguous
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
    settled = torch.empty_like(w)
    settled[columns] = w
    return settled.T


def _inverse_factor(gram: Tensor, damp: float, order: Tensor | None) -> Tensor:
    """U (in, in), upper: U'U is the inverse of the damped Hessian, in the order given."""
    hessian = gram.float().clone() if order is None else gram.float()[order][:, order]
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
