"""SparseGPT against references written from the paper: float64, plain loops.

Sources, by the names used below:
  SparseGPT: Frantar and Alistarh, "SparseGPT", ICML 2023 (arXiv 2301.00774v3), algorithm 1,
  equation 3, section 3.4.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
)

from interventions.anatomy import block_linears
from interventions.composition import apply
from interventions.compression.magnitude import Magnitude
from interventions.compression.sparsegpt import SparseGPT
from interventions.data.base import Data
from interventions.lm import LM
from tests.interventions.compression.reference import (
    KEY,
    PATTERNS,
    SIZES,
    Layers,
    damped,
    distance,
    random_layer,
    random_lm,
    spread,
    with_unseen_inputs,
)


def lowest_removed(scores: Tensor, sparsity: float, pattern: tuple[int, int] | None) -> Tensor:
    """True (out, columns) where a weight stays: the lowest go, of all, or n of a row's m."""
    keep = torch.ones(scores.shape, dtype=torch.bool)
    if pattern is None:
        cells = sorted(
            (float(scores[i, j]), i, j)
            for i in range(scores.shape[0])
            for j in range(scores.shape[1])
        )
        for _, i, j in cells[: int(scores.numel() * sparsity)]:
            keep[i, j] = False
        return keep
    for i in range(scores.shape[0]):
        row = scores[i].tolist()
        for j in sorted(range(pattern[1]), key=row.__getitem__)[: pattern[0]]:
            keep[i, j] = False
    return keep


def algorithm_1(
    weight: Tensor, gram: Tensor, sparsity: float, pattern: tuple[int, int] | None = None
) -> Tensor:
    """SparseGPT, algorithm 1, line by line: B = 128; Bs = 128, or m of n:m."""
    w, columns, b = weight.double().clone(), weight.shape[1], 128
    bs = pattern[1] if pattern else 128
    m = torch.ones(w.shape, dtype=torch.bool)
    h = torch.linalg.cholesky(torch.linalg.inv(damped(gram))).T
    for i in range(0, columns, b):
        end = min(i + b, columns)
        e = torch.zeros(len(w), end - i, dtype=torch.float64)
        for j in range(i, end):
            if j % bs == 0:
                scores = w[:, j : j + bs] ** 2 / h.diagonal()[j : j + bs] ** 2
                m[:, j : j + bs] = lowest_removed(scores, sparsity, pattern)
            e[:, j - i] = torch.where(m[:, j], 0.0, w[:, j] / h[j, j])
            w[:, j:end] -= e[:, j - i, None] * h[j, j:end]
        w[:, end:] -= e @ h[i:end, end:]
    return w * m


def elimination(
    weight: Tensor,
    gram: Tensor,
    sparsity: float,
    pattern: tuple[int, int] | None = None,
    damp: float = 0.01,
) -> Tensor:
    """SparseGPT, equation 3 and section 3.2: no Cholesky factor, and no updates put off."""
    w, hessian = weight.double().clone(), damped(gram, damp)
    keep = torch.ones(weight.shape, dtype=torch.bool)
    width = pattern[1] if pattern else 128
    for j in range(w.shape[1]):
        if j % width == 0:
            end = min(j + width, w.shape[1])
            pivots = torch.stack([torch.linalg.inv(hessian[c:, c:])[0, 0] for c in range(j, end)])
            keep[:, j:end] = lowest_removed(w[:, j:end] ** 2 / pivots, sparsity, pattern)
        spread(w, hessian, j, w[:, j] * keep[:, j])
    return w


@pytest.mark.parametrize("reference", [algorithm_1, elimination])
@pytest.mark.parametrize(
    ("rows", "inputs", "sparsity", "pattern"),
    [
        (24, 40, 0.5, "unstructured"),
        (16, 128, 0.25, "unstructured"),
        (12, 200, 0.65, "unstructured"),  # two blocks of columns, the second one short
        (12, 256, 0.5, "unstructured"),
        (12, 200, 0.5, "2:4"),
        (12, 200, 0.5, "4:8"),
    ],
)
def test_sparsegpt_is_the_papers_algorithm_1_and_the_plain_elimination(
    reference: Callable[..., Tensor], rows: int, inputs: int, sparsity: float, pattern: str
) -> None:
    weight, gram = random_layer(rows, inputs, seed=inputs + rows)
    expected = reference(weight, gram, sparsity, PATTERNS.get(pattern))
    step = SparseGPT(sparsity=sparsity, pattern=pattern)  # type: ignore[arg-type]
    (pruned,) = step.prune([weight], gram)
    assert float(((pruned == 0) == (expected == 0)).float().mean()) >= 0.999
    assert distance(pruned, expected) < 1e-3
    if pattern in PATTERNS:
        n, m = PATTERNS[pattern]
        assert ((pruned == 0).unflatten(1, (-1, m)).sum(-1) == n).all()


def test_the_hessian_is_damped_as_much_as_the_field_says() -> None:
    weight, gram = random_layer(16, 60, seed=2)
    (pruned,) = SparseGPT(sparsity=0.5, damp=0.5).prune([weight], gram)
    assert distance(pruned, elimination(weight, gram, 0.5, damp=0.5)) < 1e-3
    assert distance(pruned, elimination(weight, gram, 0.5)) > 1e-2


@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
def test_sparsegpt_prunes_layers_that_share_inputs_as_it_prunes_each_alone(pattern: str) -> None:
    _, gram = random_layer(1, 160, seed=7)
    weights = [random_layer(rows, 160, seed=rows)[0] * rows for rows in (3, 8, 20)]
    step = SparseGPT(pattern=pattern)  # type: ignore[arg-type]
    for together, weight in zip(step.prune(weights, gram), weights, strict=True):
        (alone,) = step.prune([weight], gram)
        assert torch.equal(together == 0, alone == 0)
        torch.testing.assert_close(together, alone)


def test_sparsegpt_removes_the_weights_of_unseen_inputs_first() -> None:
    """They cost nothing. The authors' sparsegpt.py, fasterprune: ``W[:, dead] = 0``."""
    weight, gram, dead = with_unseen_inputs(100, seed=3)
    (pruned,) = SparseGPT(sparsity=0.5).prune([weight], gram / 100)
    assert (pruned[:, dead] == 0).all()
    assert int((pruned == 0).sum()) == weight.numel() // 2


def test_weights_that_are_0_go_before_those_of_unseen_inputs() -> None:
    """Pruning a pruned layer again removes nothing, not even weights of unseen inputs."""
    weight, gram, dead = with_unseen_inputs(100, seed=5)
    seen_columns = (~dead).nonzero().flatten()
    weight[:, seen_columns[:50]] = 0
    (pruned,) = SparseGPT(sparsity=0.5).prune([weight], gram / 100)
    assert torch.equal(pruned == 0, weight == 0)


def test_sparsegpt_holds_right_after_it_was_applied_to_640_inputs(small: Data) -> None:
    """Five blocks of 128 inputs, each of which rounds down the number of weights that it loses."""
    lm = random_lm(
        LlamaConfig(**{**SIZES, "hidden_size": 16}, intermediate_size=640, num_key_value_heads=4)
    )
    step = SparseGPT(sparsity=0.35, samples=4)
    assert step.holds(apply(step, lm, small, KEY))


@pytest.mark.parametrize("sparsity", [0.5, 0.65])
def test_sparsegpt_errs_no_more_than_magnitude_on_every_layer(
    lm: LM, small: Data, dense: Layers, sparsity: float
) -> None:
    apply(Magnitude(sparsity=sparsity), lm, small, KEY)
    for name, linear in block_linears(lm.model).items():
        weight, inputs = dense[name]
        (pruned,) = SparseGPT(sparsity=sparsity).prune([weight], inputs.gram)
        assert inputs.error(pruned - weight) <= inputs.error(linear.weight - weight), name
