"""The Optimal Brain Surgeon sweep of SparseGPT and GPTQ: later columns make up for earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from interventions.loops import iterations

# Called at the start of a block of columns with the current weights (columns to come, out) of the
# block and of all columns after it, the block's columns' indices (columns) and their pivots U_jj
# (columns). Returns the function that settles one column: (position in the block, its weights
# (out)) -> its final weights (out).
Settle = Callable[[Tensor, Tensor, Tensor], Callable[[int, Tensor], Tensor]]
BLOCK = 128  # columns whose updates are applied at once to the ones after them


def sweep_columns(
    weights: Sequence[Tensor],
    gram: Tensor,
    settle: Settle,
    damp: float,
    order: Tensor | None = None,
) -> list[Tensor]:
    """Settle the columns (inputs) of layers with the same inputs; later columns absorb the error.

    With U the upper Cholesky factor of the inverse damped Hessian, settling column j at the values
    q makes the error e = (w_j - q) / U_jj, and every later column k becomes w_k - e U_jk.

    Args:
        weights: (out, in) each, any float dtype; not changed. The rows of all are settled together.
        gram: the Hessian (in, in), up to a factor; not changed.
        settle: gives a column's final weights.
        damp: share of the Hessian's mean diagonal that is added to its diagonal.
        order: indices (in) in which columns are settled; from left to right by default.

    Returns:
        The settled weights (out, in) of each layer, float32.

    Source: Frantar et al. 2023, "GPTQ", algorithm 1; Frantar and Alistarh 2023, "SparseGPT",
    algorithm 1.
    """
    rows = [len(weight) for weight in weights]
    columns = torch.arange(len(gram), device=gram.device) if order is None else order
    # (in, out): transposed, so that a column is contiguous
    w = gram.new_empty(len(gram), sum(rows), dtype=torch.float32)
    for layer, weight in zip(w.split(rows, dim=1), weights, strict=True):
        for start in range(0, len(w), BLOCK):
            layer[start : start + BLOCK] = weight.T[columns[start : start + BLOCK]]
    _settle_all(w, _inverse_factor(gram, damp, order), columns, settle)
    if order is not None:
        back = order.argsort()
        for outputs in w.split(BLOCK, dim=1):
            outputs.copy_(outputs[back])
    return [layer.T for layer in w.split(rows, dim=1)]


def _settle_all(w: Tensor, factor: Tensor, columns: Tensor, settle: Settle) -> None:
    """Settle the columns of ``w`` (in, out) in place; ``factor`` is U (in, in)."""
    for start in iterations(range(0, len(w), BLOCK)):
        end = min(start + BLOCK, len(w))
        block, local = w[start:end], factor[start:end, start:end]
        pivots = local.diagonal()
        fix = settle(w[start:], columns[start:end], pivots)
        errors = torch.empty_like(block)
        for j in iterations(range(end - start)):
            final = fix(j, block[j])
            torch.sub(block[j], final, out=errors[j]).div_(pivots[j])
            block[j:].addr_(local[j, j:], errors[j], alpha=-1)
            # set, not left to the subtraction above, which rounds: a zero must be exactly zero
            block[j] = final
        # the columns after the block absorb all of its errors in one matrix product
        w[end:].addmm_(factor[start:end, end:].T, errors, alpha=-1)


def _inverse_factor(gram: Tensor, damp: float, order: Tensor | None) -> Tensor:
    """Return U (in, in), upper: U'U is the inverse of the damped Hessian, in that order."""
    hessian = gram.float().clone() if order is None else gram.float()[order[:, None], order]
    diagonal = hessian.diagonal()
    mean = diagonal.mean()
    if mean == 0:
        mean = torch.ones_like(mean)
    # an input that was never seen: any weight is as good, but the matrix must stay invertible
    diagonal[diagonal == 0] = mean
    diagonal += damp * mean
    # each result goes into the memory of the one before; LAPACK wants it column-major, which the
    # transpose of a symmetric matrix is
    hessian = hessian.mT
    torch.linalg.cholesky(hessian, out=hessian)
    torch.cholesky_inverse(hessian, out=hessian)
    return torch.linalg.cholesky(hessian, upper=True, out=hessian)
