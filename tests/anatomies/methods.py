"""The compressions as their papers and authors' code define them, in float64 and one by one.

Weights W are (out, in), inputs X (tokens, in). Nothing here is fast, and nothing is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def loss(weight: Tensor, changed: Tensor, x: Tensor) -> float:
    """Return the squared error of a layer's outputs."""
    return float((x.double() @ (changed.double() - weight.double()).T).square().sum())


def magnitude(weight: Tensor, sparsity: float) -> Tensor:
    """Return W without its weights of lowest magnitude.

    Source: the baseline in locuslab/wanda, ``prune_magnitude``: a whole layer is compared.
    """
    count = int(weight.numel() * sparsity)
    flat = weight.double().flatten().clone()
    flat[flat.abs().argsort()[:count]] = 0
    return flat.view(weight.shape)


def wanda(weight: Tensor, x: Tensor, sparsity: float) -> Tensor:
    """Return W without the weights of lowest \\|W\\| ||X|| in each row.

    Source: Sun et al. 2024, equation 1; locuslab/wanda, ``prune_wanda``.
    """
    scores = weight.double().abs() * x.double().square().sum(0).sqrt()
    lowest = scores.argsort(dim=1)[:, : int(weight.shape[1] * sparsity)]
    return weight.double().scatter(1, lowest, 0.0)


def inverse_factor(x: Tensor, damp: float) -> tuple[Tensor, Tensor]:
    """Return the upper Cholesky factor of the damped Hessian's inverse, and the dead inputs.

    Source: IST-DASLab/gptq and IST-DASLab/sparsegpt, ``fasterquant`` and ``fasterprune``: the
    inputs that are always 0 get a diagonal of 1 (their Hessian is 2 X'X / tokens; the factor 2
    cancels in all that follows).
    """
    hessian = 2 * x.double().T @ x.double() / len(x)
    dead = hessian.diagonal() == 0
    hessian.diagonal()[dead] = 1
    hessian.diagonal().add_(damp * hessian.diagonal().mean())
    return torch.linalg.cholesky(torch.linalg.inv(hessian), upper=True), dead


def sparsegpt(
    weight: Tensor, x: Tensor, sparsity: float, damp: float = 0.01, block: int = 128
) -> Tensor:
    """Return W pruned by IST-DASLab/sparsegpt's algorithm, with its masks per block of columns."""
    factor, dead = inverse_factor(x, damp)
    w = weight.double().clone()
    w[:, dead] = 0
    for start in range(0, w.shape[1], block):
        end = min(start + block, w.shape[1])
        pivots = factor.diagonal()[start:end]
        scores = (w[:, start:end] / pivots).square()
        threshold = scores.flatten().sort().values[int(scores.numel() * sparsity)]
        removed = scores < threshold
        errors = torch.zeros_like(scores)
        for j in range(start, end):
            settled = w[:, j].masked_fill(removed[:, j - start], 0)
            error = (w[:, j] - settled) / factor[j, j]
            w[:, j:end] -= error[:, None] * factor[j, j:end]
            w[:, j] = settled
            errors[:, j - start] = error
        w[:, end:] -= errors @ factor[start:end, end:]
    return w


@dataclass
class Range:
    """Scale and zero of one group of each row, (out) each.

    Source: IST-DASLab/gptq, ``Quantizer.find_params``, with ``perchannel`` and without ``mse``.
    """

    scale: Tensor
    zero: Tensor
    bits: int

    @classmethod
    def fit(cls, group: Tensor, bits: int, symmetric: bool) -> Range:
        """Fit the range of weights (out, group)."""
        low, high = group.amin(1).clamp(max=0), group.amax(1).clamp(min=0)
        if symmetric:
            high = torch.maximum(low.abs(), high)
            low = -high
        empty = (low == 0) & (high == 0)
        low, high = low.masked_fill(empty, -1), high.masked_fill(empty, 1)
        scale = (high - low) / (2**bits - 1)
        zero = (-low / scale).round()
        if symmetric:
            zero = torch.full_like(scale, 2 ** (bits - 1))
        return cls(scale, zero, bits)

    def nearest(self, column: Tensor) -> Tensor:
        """Return the nearest values to weights (out)."""
        integers = ((column / self.scale).round() + self.zero).clamp(0, 2**self.bits - 1)
        return self.scale * (integers - self.zero)


def rtn(weight: Tensor, bits: int, group: int, symmetric: bool = False) -> Tensor:
    """Return W rounded to nearest, group by group of each row."""
    w = weight.double().clone()
    for start in range(0, w.shape[1], group):
        part = Range.fit(w[:, start : start + group], bits, symmetric)
        for j in range(start, min(start + group, w.shape[1])):
            w[:, j] = part.nearest(w[:, j])
    return w


def hqq_grid(
    weight: Tensor,
    bits: int,
    group: int,
    *,
    norm: float = 0.7,
    beta: float = 10.0,
    kappa: float = 1.01,
    iterations: int = 20,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (scale, zero, nearest tie), a row per group: HQQ's grids, and how close they were.

    The scale is what weights are multiplied by. The last is how far any weight of the group was
    from a tie of two integers when it was rounded, in all passes.

    Source: mobiusml/hqq, ``Quantizer.quantize`` with axis=1 (scales, and the bounds on them) and
    ``optimize_weights_proximal`` of its first release: the zeros of the last pass are returned,
    whether or not its error had fallen.
    """
    w = weight.double().reshape(-1, group)
    low, high, top = w.amin(1, keepdim=True), w.amax(1, keepdim=True), 2**bits - 1
    scale = torch.where(high - low <= 1e-4, torch.ones_like(low), top / (high - low))
    scale = scale.clamp(max=2e4)
    zero, least = -low * scale, float("inf")
    nearest_tie = torch.full_like(low, 0.5)
    for _ in range(iterations):
        steps = w * scale + zero
        nearest_tie = torch.minimum(nearest_tie, _from_a_tie(steps, top))
        integers = steps.round().clamp(0, top)
        error = w - (integers - zero) / scale
        outliers = error.sign() * (error.abs() - error.abs().pow(norm - 1) / beta).relu()
        zero = (integers - (w - outliers) * scale).mean(1, keepdim=True)
        beta *= kappa
        if float(error.abs().mean()) >= least:
            break
        least = float(error.abs().mean())
    return scale, zero, torch.minimum(nearest_tie, _from_a_tie(w * scale + zero, top))


def _from_a_tie(steps: Tensor, top: int) -> Tensor:
    """Return how far the numbers of each row are from halfway between two integers up to a top."""
    distance = (steps - steps.floor() - 0.5).abs()
    return distance.masked_fill((steps < -0.1) | (steps > top + 0.1), 0.5).amin(1, keepdim=True)


def hqq(weight: Tensor, bits: int, group: int) -> Tensor:
    """Return W rounded to HQQ's grids; weights of 0 stay 0, which is no part of their code."""
    scale, zero, _ = hqq_grid(weight, bits, group)
    w = weight.double().reshape(-1, group)
    integers = (w * scale + zero).round().clamp(0, 2**bits - 1)
    return ((integers - zero) / scale).masked_fill(w == 0, 0).reshape(weight.shape)


def gptq(
    weight: Tensor,
    x: Tensor,
    bits: int,
    group: int,
    *,
    symmetric: bool = False,
    act_order: bool = True,
    static_groups: bool = False,
    damp: float = 0.01,
    block: int = 128,
) -> Tensor:
    """Return W quantized by IST-DASLab/gptq's algorithm.

    With ``static_groups`` every group's range is fitted before anything is rounded, and belongs to
    consecutive inputs; without, it is fitted when the sweep reaches it, to the weights as they are
    then, and belongs to inputs that follow each other in the sweep. Their code fits it to the
    weights as they are at the start of a block of 128 columns: errors of the same block have not
    reached them yet. ``block=1`` fits it to the weights as they are at that very column.
    """
    w = weight.double().clone()
    hessian_diagonal = x.double().square().sum(0)
    w[:, hessian_diagonal == 0] = 0
    # theirs are fitted after dead inputs' weights became 0
    static = [
        Range.fit(w[:, start : start + group], bits, symmetric)
        for start in range(0, w.shape[1], group)
    ]
    order = torch.arange(w.shape[1])
    if act_order:
        order = hessian_diagonal.argsort(descending=True, stable=True)
    w, swept = w[:, order], x[:, order]
    factor, _ = inverse_factor(swept, damp)
    for j in range(w.shape[1]):
        if j % block == 0:
            at_block = w.clone()
        if not static_groups and j % group == 0:
            # a group that goes beyond its block is fitted to what is up to date by then
            current = Range.fit(at_block[:, j : j + group], bits, symmetric)
        part = static[int(order[j]) // group] if static_groups else current
        settled = part.nearest(w[:, j])
        error = (w[:, j] - settled) / factor[j, j]
        w[:, j:] -= error[:, None] * factor[j, j:]
        w[:, j] = settled
    return w[:, order.argsort()]


def outlier_share(weights: list[Tensor], x: list[Tensor], threshold: float) -> float:
    """Return the share of a block's weights whose \\|W\\| ||X|| is above a multiple of their mean.

    Source: Yin et al. 2024, "Outlier Weighed Layerwise Sparsity"; luuyin/OWL,
    ``check_outlier_mean`` over the scores of all layers of a block together.
    """
    scores = torch.cat(
        [
            (w.double().abs() * seen.double().square().sum(0).sqrt()).flatten()
            for w, seen in zip(weights, x, strict=True)
        ]
    )
    return float((scores > threshold * scores.mean()).double().mean())
