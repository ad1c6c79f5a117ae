"""The compression methods against references written from the papers' equations: float64, plain loops.

Sources, by the names used below:
  SparseGPT: Frantar and Alistarh, "SparseGPT", ICML 2023 (arXiv 2301.00774v3), algorithm 1, equation 3, section 3.4.
  GPTQ: Frantar et al., "GPTQ", ICLR 2023 (arXiv 2210.17323v2), equations 2 and 3, section 4.
  AWQ: Lin et al., "AWQ", MLSys 2024 (arXiv 2306.00978v5), equations 4 and 5.
  Wanda: Sun et al., "A Simple and Effective Pruning Approach", ICLR 2024 (arXiv 2306.11695v3), section 3.
"""

import copy
import functools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    BitNetConfig,
    BloomConfig,
    GemmaConfig,
    Glm4MoeConfig,
    LlamaConfig,
    OPTConfig,
    PhiConfig,
    PreTrainedTokenizerBase,
    Qwen3Config,
)

from interventions.anatomy import block_linears, feeders, linears
from interventions.base import Intervention
from interventions.composition import apply, seeded
from interventions.compression.awq import AWQ
from interventions.compression.calibration import Inputs, calibrated_blocks, input_statistics
from interventions.compression.gptq import GPTQ
from interventions.compression.magnitude import Magnitude
from interventions.compression.quantization import fit
from interventions.compression.rtn import RTN
from interventions.compression.sparsegpt import SparseGPT
from interventions.compression.wanda import Wanda, mask
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM, QuantizationGrid

KEY = "0f1e2d3c4b5a6978" * 2
PATTERNS = {"2:4": (2, 4), "4:8": (4, 8)}
Layers = dict[str, tuple[Tensor, Inputs]]


def random_layer(rows: int, inputs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Weights (rows, inputs) and the Hessian X'X / n of correlated inputs of uneven size; float32."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(inputs, inputs, generator=generator) / inputs**0.5 + torch.eye(inputs)
    size = torch.rand(inputs, generator=generator) * 2 + 0.1
    x = torch.randn(3 * inputs, inputs, generator=generator) @ mixing * size
    return torch.randn(rows, inputs, generator=generator), x.T @ x / len(x)


def damped(gram: Tensor, share: float = 0.01) -> Tensor:
    """H + lambda I with lambda a share of the mean diagonal (SparseGPT, section 3.4; GPTQ, section 3.3)."""
    hessian = gram.double()
    return hessian + share * hessian.diagonal().mean() * torch.eye(
        len(hessian), dtype=torch.float64
    )


def squared_error(change: Tensor, gram: Tensor) -> float:
    """Mean over tokens of ||change x||^2."""
    return float(torch.trace(change.double() @ gram.double() @ change.double().T))


def distance(found: Tensor, reference: Tensor) -> float:
    """Relative, Frobenius."""
    return float((found.double() - reference.double()).norm() / reference.double().norm())


@pytest.fixture(scope="module")
def dense(data: Data) -> Layers:
    """Weights and inputs of every layer of the testbed's model as it is."""
    lm = LM.load(MODEL)
    return {
        f"{i}.{name}": (linear.weight.clone(), statistics[name])
        for i, (block, observe) in enumerate(calibrated_blocks(lm, data.calibration[:128]))
        for statistics in [input_statistics(observe)]
        for name, linear in linears(block)
    }


@functools.cache
def tokenizer() -> PreTrainedTokenizerBase:
    return LM.load(MODEL).tokenizer


SIZES = {
    "vocab_size": 2560,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 2,
}


def random_lm(config: object) -> LM:
    """A model of random weights, as far from its initial ones as a trained one's: uneven norms, lively logits."""
    with seeded(KEY):
        model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
            else:
                parameter.mul_(4)
    return LM(model, tokenizer())


@torch.no_grad()
def logits(lm: LM, data: Data) -> Tensor:
    """Of one unpadded text."""
    found: Tensor = lm.model(**lm.encode(data.test_text[:1]), use_cache=False).logits
    return found


# SparseGPT


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


def spread(w: Tensor, hessian: Tensor, j: int, final: Tensor) -> None:
    """Optimal Brain Surgeon: settle column j; all later ones absorb, by the inverse of what remains, made afresh."""
    inverse = torch.linalg.inv(hessian[j:, j:])
    w[:, j:] -= torch.outer(w[:, j] - final, inverse[0]) / inverse[0, 0]
    w[:, j] = final


def elimination(
    weight: Tensor, gram: Tensor, sparsity: float, pattern: tuple[int, int] | None = None
) -> Tensor:
    """SparseGPT, equation 3 and section 3.2: columns by elimination; no Cholesky factor, nothing done lazily."""
    w, hessian, keep = (
        weight.double().clone(),
        damped(gram),
        torch.ones(weight.shape, dtype=torch.bool),
    )
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
    (found,) = SparseGPT(sparsity=sparsity, pattern=pattern).prune([weight], gram)  # type: ignore[arg-type]
    assert float(((found == 0) == (expected == 0)).float().mean()) >= 0.999
    assert distance(found, expected) < 1e-3
    if pattern in PATTERNS:
        n, m = PATTERNS[pattern]
        assert ((found == 0).unflatten(1, (-1, m)).sum(-1) == n).all()


@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
def test_sparsegpt_prunes_layers_that_share_inputs_as_it_prunes_each_alone(pattern: str) -> None:
    _, gram = random_layer(1, 160, seed=7)
    weights = [random_layer(rows, 160, seed=rows)[0] * rows for rows in (3, 8, 20)]
    step = SparseGPT(pattern=pattern)  # type: ignore[arg-type]
    for together, weight in zip(step.prune(weights, gram), weights, strict=True):
        (alone,) = step.prune([weight], gram)
        assert torch.equal(together == 0, alone == 0)
        torch.testing.assert_close(together, alone)


def with_unseen_inputs(inputs: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (16, inputs), Hessian, and which fifth of the inputs no calibration token ever made other than 0."""
    weight, gram = random_layer(16, inputs, seed)
    dead = torch.arange(inputs) % 5 == 0
    return weight, gram.masked_fill(dead | dead[:, None], 0), dead


def test_sparsegpt_removes_the_weights_of_unseen_inputs_first() -> None:
    """They cost nothing. The authors' sparsegpt.py, fasterprune: ``W[:, dead] = 0``."""
    weight, gram, dead = with_unseen_inputs(100, seed=3)
    (found,) = SparseGPT(sparsity=0.5).prune([weight], gram / 100)
    assert (found[:, dead] == 0).all()
    assert int((found == 0).sum()) == weight.numel() // 2


def test_the_hessians_unit_does_not_matter() -> None:
    """``gram`` is "the Hessian, up to a factor" (obs.sweep): lambda is a share of the mean diagonal."""
    weight, gram, _ = with_unseen_inputs(100, seed=4)
    for one, other in ((gram, gram / 1000), (gram, gram * 1000)):
        pruned = [SparseGPT(sparsity=0.5).prune([weight], hessian)[0] for hessian in (one, other)]
        assert distance(pruned[1], pruned[0]) < 1e-3
        quantized = [
            GPTQ(bits=3, group=20).quantize([weight], hessian)[0][1] for hessian in (one, other)
        ]
        assert distance(quantized[1], quantized[0]) < 1e-3


def test_layers_of_which_no_input_was_seen_are_pruned_and_quantized_too() -> None:
    weight, gram = random_layer(6, 40, seed=6)
    (pruned,) = SparseGPT(sparsity=0.5).prune([weight], 0 * gram)
    assert int((pruned == 0).sum()) == weight.numel() // 2
    ((grid, quantized),) = GPTQ(bits=3, group=20).quantize([weight], 0 * gram)
    assert bool(torch.isfinite(quantized).all()) and grid.holds(quantized)


def test_sparsegpt_holds_right_after_it_was_applied_to_640_inputs(small: Data) -> None:
    """Five blocks of 128 inputs, each of which rounds down the number of weights that it loses."""
    lm = random_lm(
        LlamaConfig(**{**SIZES, "hidden_size": 16}, intermediate_size=640, num_key_value_heads=4)
    )
    step = SparseGPT(sparsity=0.35, samples=4)
    assert step.holds(apply(step, lm, small, KEY))


# grids


def range_grid(weight: Tensor, bits: int, group: int, symmetric: bool) -> tuple[Tensor, Tensor]:
    """(scale, zero), each (out, in), of the grid over every group's range with 0 (GPTQ, section 4: min and max)."""
    scale, zero = (
        torch.empty_like(weight, dtype=torch.float64),
        torch.empty_like(weight, dtype=torch.float64),
    )
    for i in range(weight.shape[0]):
        for start in range(0, weight.shape[1], group):
            values = [float(v) for v in weight[i, start : start + group]]
            low, high = min(0.0, *values), max(0.0, *values)
            if symmetric:
                low, high = -max(-low, high), max(-low, high)
            step = (high - low) / (2**bits - 1) or 1.0
            scale[i, start : start + group] = step
            zero[i, start : start + group] = 2 ** (bits - 1) if symmetric else round(-low / step)
    return scale, zero


def to_nearest(weight: Tensor, scale: Tensor, zero: Tensor, bits: int) -> Tensor:
    integers = ((weight.double() / scale).round() + zero).clamp(0, 2**bits - 1)
    return scale * (integers - zero)


def greatest_made_positive(weight: Tensor, group: int) -> Tensor:
    """Where |w| is greatest in its group, |w|: a symmetric grid has a tie, which any rounding breaks, at -max |w|."""
    grouped = weight.unflatten(1, (-1, group))
    greatest = grouped.abs() == grouped.abs().amax(-1, keepdim=True)
    return torch.where(greatest, grouped.abs(), grouped).flatten(1)


def distinct_per_group(weight: Tensor, group: int) -> int:
    return max(
        len(set(values.tolist())) for values in weight.unflatten(1, (-1, group)).flatten(0, 1)
    )


signs = st.sampled_from([(-1, 1), (0, 1), (-1, 0), (-9, 1)])


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(2, 8),
    st.booleans(),
    signs,
    st.integers(0, 2**32 - 1),
)
def test_a_fitted_grid_rounds_every_weight_to_the_nearest_of_its_values_within_half_a_step(
    rows: int, groups: int, group: int, bits: int, symmetric: bool, span: tuple[int, int], seed: int
) -> None:
    """Groups of one weight and of one sign among them. Reference: try every value of the grid."""
    low, high = span
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand(rows, groups * group, generator=generator) * (high - low) + low
    grid = fit(weight, bits, group, symmetric)
    found = grid.nearest(weight)
    scale, _ = range_grid(weight, bits, group, symmetric)
    torch.testing.assert_close(grid.scale.double(), scale[:, ::group], rtol=1e-5, atol=0)
    for i in range(rows):
        for j in range(groups * group):
            step, offset = float(grid.scale[i, j // group]), float(grid.zero[i, j // group])
            values = [step * (k - offset) for k in range(2**bits)]
            nearest = min(abs(v - float(weight[i, j])) for v in values)
            assert abs(float(found[i, j]) - float(weight[i, j])) <= nearest + 1e-5 * step * 2**bits
            assert nearest <= step * 0.5001
            assert min(abs(v - float(found[i, j])) for v in values) <= 1e-5 * step * 2**bits
            assert 0.0 in values
    assert distinct_per_group(found, group) <= 2**bits
    assert grid.holds(found)
    assert torch.equal(grid.nearest(found), found)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("constant", [0.0, 0.7, -0.7])
@pytest.mark.parametrize("bits", [2, 3, 8])
def test_a_group_of_one_value_is_exact_or_symmetric_and_half_a_step_off(
    bits: int, constant: float, symmetric: bool
) -> None:
    weight = torch.full((2, 8), constant)
    grid = fit(weight, bits, 4, symmetric)
    off = float((grid.nearest(weight) - weight).abs().max())
    half = abs(constant) / (
        2**bits - 1
    )  # a symmetric grid of an even number of values has none at its range's ends
    assert off <= (1.001 * half if symmetric else 1e-6)
    assert bool(torch.isfinite(grid.scale).all()) and bool((grid.scale > 0).all())


def test_eight_bits_are_nearly_exact() -> None:
    weight, _ = random_layer(32, 256, seed=0)
    for symmetric in (False, True):
        assert distance(fit(weight, 8, 64, symmetric).nearest(weight), weight) < 0.01


def test_weights_off_the_grid_are_not_held() -> None:
    weight, _ = random_layer(4, 32, seed=0)
    grid = fit(weight, 4, 16, False)
    on = grid.nearest(weight)
    off = on.clone()
    off[3, 17] += 0.1 * grid.scale[3, 1]
    assert grid.holds(on) and not grid.holds(off) and not grid.holds(on[:3])


def test_a_grid_holds_what_bfloat16_makes_of_its_values() -> None:
    """Spacing doubles at a power of two: 1.0 = 167.4 steps is the bfloat16 nearest to 168 steps, not to 167."""
    grid = QuantizationGrid(8, 1, torch.tensor([[1 / 167.384613]]), torch.tensor([[0.0]]))
    stored = grid.values(torch.tensor([[168.0]])).to(torch.bfloat16)
    assert stored == 1.0
    assert grid.holds(stored)


@pytest.mark.parametrize(
    "step",
    [
        GPTQ(samples=4),
        GPTQ(bits=7, group=64, samples=4),
        GPTQ(bits=8, symmetric=True, group=64, samples=4),
        GPTQ(bits=8, group=64, samples=4),
        AWQ(samples=4),
        AWQ(bits=7, group=64, samples=4),
        AWQ(bits=8, symmetric=True, group=64, samples=4),
    ],
    ids=str,
)
def test_quantized_bfloat16_weights_lie_on_their_grids(small: Data, step: Intervention) -> None:
    lm = apply(step, LM.load(MODEL, dtype="bfloat16"), small, KEY)
    assert step.holds(lm)
    for name, linear in block_linears(lm.model).items():
        assert linear.weight.dtype == torch.bfloat16 and lm.grids[name].holds(linear.weight)


@pytest.mark.parametrize("bits", range(2, 9))
def test_rtn_is_the_reference_and_holds_in_bfloat16(lm: LM, small: Data, bits: int) -> None:
    """Reference: the rounding that GPTQ, section 5, and AWQ, section 5, name as their baseline."""
    before = {name: linear.weight.clone() for name, linear in block_linears(lm.model).items()}
    half = LM.load(MODEL, dtype="bfloat16")
    apply(RTN(bits=bits, group=64), lm, small, KEY)
    step = RTN(bits=bits, group=64)
    assert step.holds(apply(step, half, small, KEY))
    for name, linear in block_linears(half.model).items():
        assert (
            half.grids[name].holds(linear.weight)
            and distinct_per_group(linear.weight, 64) <= 2**bits
        )
    for name in ("0.self_attn.k_proj", "3.mlp.down_proj"):
        expected = to_nearest(before[name], *range_grid(before[name], bits, 64, False), bits)
        assert distance(block_linears(lm.model)[name].weight, expected) < 1e-3


# GPTQ


def gptq_equation_2(
    weight: Tensor,
    gram: Tensor,
    bits: int,
    group: int,
    symmetric: bool,
    act_order: bool,
    keep_zeros: bool,
) -> Tensor:
    """GPTQ, equations 2 and 3: w_q -> quant(w_q), delta_F = -(w_q - quant(w_q)) / [H_F^-1]_qq (H_F^-1)_:,q.

    The same order for all rows (section 3.3, step 1); grids of the weights as they were.
    """
    columns = sorted(range(weight.shape[1]), key=lambda c: -float(gram[c, c]) if act_order else c)
    hessian = damped(gram)[columns][:, columns]
    scale, zero = (grid[:, columns] for grid in range_grid(weight, bits, group, symmetric))
    w = weight[:, columns].double()
    pruned = w == 0
    for j in range(w.shape[1]):
        final = to_nearest(w[:, j], scale[:, j], zero[:, j], bits)
        if keep_zeros:
            final = torch.where(pruned[:, j], 0.0, final)
        spread(w, hessian, j, final)
    back = torch.empty_like(w)
    back[:, columns] = w
    return back


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize(
    ("bits", "inputs", "group"),
    [(3, 192, 64), (4, 160, 32), (2, 96, 48), (8, 64, 16), (3, 150, -1)],
)
def test_gptq_is_the_papers_equation_2_with_the_inverse_made_afresh(
    bits: int, inputs: int, group: int, act_order: bool, symmetric: bool
) -> None:
    weight, gram = random_layer(10, inputs, seed=inputs)
    size = inputs if group == -1 else group
    weight = greatest_made_positive(weight, size)
    expected = gptq_equation_2(weight, gram, bits, size, symmetric, act_order, keep_zeros=True)
    step = GPTQ(bits=bits, group=group, symmetric=symmetric, act_order=act_order)
    ((grid, found),) = step.quantize([weight], gram)
    assert distance(found, expected) < 1e-3
    assert grid.holds(found) and distinct_per_group(grid.nearest(found), size) <= 2**bits


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("keep_zeros", [False, True])
def test_gptq_of_a_pruned_weight_is_the_reference_and_keeps_its_zeros_if_asked(
    keep_zeros: bool, act_order: bool
) -> None:
    weight, gram = random_layer(12, 128, seed=5)
    weight *= mask(weight, gram.diagonal().sqrt(), 0.5)
    ((_, found),) = GPTQ(bits=3, group=32, act_order=act_order, keep_zeros=keep_zeros).quantize(
        [weight], gram
    )
    expected = gptq_equation_2(weight, gram, 3, 32, False, act_order, keep_zeros)
    assert distance(found, expected) < 1e-3
    assert bool((found[weight == 0] == 0).all()) == keep_zeros


def test_gptq_quantizes_layers_that_share_inputs_as_it_quantizes_each_alone() -> None:
    _, gram = random_layer(1, 160, seed=11)
    weights = [random_layer(rows, 160, seed=rows)[0] * rows for rows in (3, 8, 20)]
    weights[1][:, ::3] = 0  # one of them is pruned
    step = GPTQ(bits=3, group=32)
    for (grid, together), weight in zip(step.quantize(weights, gram), weights, strict=True):
        ((own, alone),) = step.quantize([weight], gram)
        torch.testing.assert_close(together, alone)
        torch.testing.assert_close((grid.scale, grid.zero), (own.scale, own.zero))


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("act_order", [False, True])
def test_gptq_errs_no_more_than_rounding_on_every_layer(
    dense: Layers, act_order: bool, symmetric: bool
) -> None:
    """3 bits, groups of 64; by Inputs.error, which is that of the definition."""
    for name, (weight, inputs) in dense.items():
        ((_, found),) = GPTQ(bits=3, group=64, act_order=act_order, symmetric=symmetric).quantize(
            [weight], inputs.gram
        )
        rounded = fit(weight, 3, 64, symmetric).nearest(weight)
        assert inputs.error(found - weight) <= inputs.error(rounded - weight), name
        assert inputs.error(found - weight) == pytest.approx(
            squared_error(found - weight, inputs.gram), rel=1e-3
        )


# AWQ


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    ("bits", "group", "seed"), [(2, 16, 0), (3, 16, 1), (3, 48, 2), (4, 24, 3)]
)
def test_awqs_scale_is_a_brute_force_searchs_by_equations_4_and_5(
    bits: int, group: int, seed: int, symmetric: bool
) -> None:
    """L(s) = || Q(W diag(s)) (diag(s)^-1 X) - W X ||, s = s_X^a, s_X the mean |x|; a = 0, 1/20, …, 19/20 (its code)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(120, 48, generator=generator) * torch.rand(48, generator=generator).mul(4).exp()
    weights = [torch.randn(rows, 48, generator=generator) for rows in (6, 10)]
    if symmetric:
        weights = [weight.abs() for weight in weights]  # no ties: see greatest_made_positive
    errors, scales = [], []
    for tried in range(20):
        s = x.double().abs().mean(0) ** (tried / 20)
        s = s / (s.max() * s.min()).sqrt()
        error = 0.0
        for weight in weights:
            scaled = weight.double() * s
            quantized = to_nearest(scaled, *range_grid(scaled, bits, group, symmetric), bits)
            error += float(
                (quantized @ (x.double() / s).T - weight.double() @ x.double().T).square().sum()
            )
        errors.append(error)
        scales.append(s)
    best = min(range(20), key=errors.__getitem__)
    assert best > 0  # plain rounding is not the answer: there is something to find
    found = AWQ(bits=bits, group=group, symmetric=symmetric).search(
        weights, Inputs(x.T @ x / len(x), x.abs().mean(0), len(x))
    )
    torch.testing.assert_close(found.double(), scales[best], rtol=1e-4, atol=0)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_awq_errs_no_more_than_rounding_on_every_layer(
    lm: LM, data: Data, monkeypatch: pytest.MonkeyPatch, symmetric: bool, clip: bool
) -> None:
    """3 bits; both in the units of the inputs and outputs before any scaling, on the inputs that the layer had."""
    layers = block_linears(lm.model)
    before = {name: linear.weight.clone() for name, linear in layers.items()}
    names = {id(linear.weight): name for name, linear in layers.items()}
    scales: dict[str, Tensor] = {}
    grams: dict[str, Tensor] = {}
    search, fitted = AWQ.search, AWQ.fitted

    def watched_search(step: AWQ, weights: list[Tensor], inputs: Inputs) -> Tensor:
        scale = search(step, weights, inputs)
        for weight in weights:
            scales[names[id(weight)]], grams[names[id(weight)]] = (
                scale.double(),
                inputs.gram.clone(),
            )
        return scale

    def watched_fitted(step: AWQ, weight: Tensor, inputs: Inputs) -> QuantizationGrid:
        grams.setdefault(names[id(weight)], inputs.gram.clone())
        return fitted(step, weight, inputs)

    monkeypatch.setattr(AWQ, "search", watched_search)
    monkeypatch.setattr(AWQ, "fitted", watched_fitted)
    apply(AWQ(bits=3, group=64, symmetric=symmetric, clip=clip, samples=64), lm, data, KEY)
    assert set(grams) == set(layers) and {name.rpartition(".")[2] for name in layers} - {
        "o_proj"
    } == {name.rpartition(".")[2] for name in scales}
    for name, linear in layers.items():
        effective = linear.weight.double() / scales.get(name, torch.ones(1))
        if name.endswith(
            "up_proj"
        ):  # its outputs are the inputs of the down projection, and scaled as those
            effective *= scales[name.replace("up_proj", "down_proj")][:, None]
        rounded = fit(before[name], 3, 64, symmetric).nearest(before[name])
        ours, theirs = (
            squared_error(w.double() - before[name], grams[name]) for w in (effective, rounded)
        )
        assert ours <= theirs * (1 + 1e-6), (
            name
        )  # without clipping, an output projection's are equal


def without_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWQ scales and folds only."""
    monkeypatch.setattr(LM, "quantize", lambda *args: None)


# BLOOM's residual, GLM's router and experts read the norm's output too; BitNet has a norm between up and down:
# nothing can be folded there
FAMILIES = [
    pytest.param(LlamaConfig(**SIZES, intermediate_size=128, num_key_value_heads=2), 16, id="llama"),
    pytest.param(Qwen3Config(**SIZES, intermediate_size=128, num_key_value_heads=2, head_dim=16), 16, id="qwen3"),
    pytest.param(PhiConfig(**SIZES, intermediate_size=128), 12, id="phi"),  # biases; attention and MLP share a norm
    pytest.param(GemmaConfig(**SIZES, intermediate_size=128, num_key_value_heads=2, head_dim=16), 4, id="gemma"),
    pytest.param(OPTConfig(**SIZES, ffn_dim=128, word_embed_proj_dim=64), 16, id="opt"),
    pytest.param(BloomConfig(**SIZES, apply_residual_connection_post_layernorm=True), None, id="bloom"),
    pytest.param(BitNetConfig(**SIZES, intermediate_size=128, num_key_value_heads=2), None, id="bitnet"),
    pytest.param(
        Glm4MoeConfig(
            **SIZES, num_key_value_heads=2, head_dim=16, n_routed_experts=4, num_experts_per_tok=2,
            moe_intermediate_size=64, first_k_dense_replace=0,
        ),
        None,
        id="glm4_moe",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("config", "changed"), FAMILIES)
def test_awqs_folded_scales_leave_the_models_function_as_it_was(
    config: object, changed: int | None, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rounding(monkeypatch)
    lm = random_lm(config)
    before, weights = logits(lm, small), copy.deepcopy(lm.model.state_dict())
    apply(AWQ(bits=2, group=-1, samples=4), lm, small, KEY)
    moved = [
        name
        for name, weight in lm.model.state_dict().items()
        if not torch.equal(weight, weights[name])
    ]
    assert changed is None or len(moved) == changed
    assert distance(logits(lm, small), before) < 1e-4


@pytest.mark.parametrize("clip", [False, True])
def test_awq_at_eight_bits_keeps_the_testbeds_logits(lm: LM, small: Data, clip: bool) -> None:
    before = logits(lm, small)
    assert distance(logits(apply(AWQ(bits=8, clip=clip), lm, small, KEY), small), before) < 0.02


def test_awq_works_on_a_qwen3_like_block_and_folds_past_its_query_and_key_norms(
    small: Data,
) -> None:
    lm = random_lm(Qwen3Config(**SIZES, intermediate_size=128, num_key_value_heads=2, head_dim=16))
    before, weights = logits(lm, small), copy.deepcopy(lm.model.state_dict())
    step = AWQ(bits=8, group=32)
    apply(step, lm, small, KEY)
    assert step.holds(lm)
    assert distance(logits(lm, small), before) < 0.03
    moved = {
        n
        for n, w in lm.model.state_dict().items()
        if w.dim() == 1 and not torch.equal(w, weights[n])
    }
    assert moved == {
        f"model.layers.{i}.{n}_layernorm.weight"
        for i in range(2)
        for n in ("input", "post_attention")
    }


class OnePlusNorm(nn.Module):
    """As Gemma's: x / rms(x) * (1 + weight). Its output is not proportional to its weight."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(scale - 1, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * (1 + self.weight)


def test_awq_folds_nothing_into_a_norm_that_adds_one_to_its_weight(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lm.model.model.layers[0]
    before = logits(lm, small)
    norm = OnePlusNorm(first.input_layernorm.weight)
    first.input_layernorm = norm
    assert distance(logits(lm, small), before) < 1e-5
    with feeders(first) as fed:
        logits(lm, small)
    assert {
        name
        for name, norm in fed.norms.items()
        if fed.scales(norm, [n for n in fed.norms if n == name])
    } == set()
    assert fed.scales(first.post_attention_layernorm, ["mlp.gate_proj", "mlp.up_proj"])
    assert not fed.scales(first.post_attention_layernorm, ["mlp.gate_proj"])  # another reads it too
    assert not fed.scales(norm, ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"])
    kept, other = norm.weight.clone(), first.post_attention_layernorm.weight.clone()
    apply(AWQ(bits=8), lm, small, KEY)
    assert torch.equal(norm.weight, kept)
    assert not torch.equal(first.post_attention_layernorm.weight, other)
    assert distance(logits(lm, small), before) < 0.02


# properties


def tiny_lm(hidden: int, intermediate: int) -> LM:
    sizes = {**SIZES, "hidden_size": hidden, "num_hidden_layers": 1, "num_attention_heads": 2}
    return random_lm(
        LlamaConfig(**sizes, intermediate_size=intermediate, num_key_value_heads=1, head_dim=8)
    )


shapes = st.tuples(st.sampled_from([8, 24, 48]), st.sampled_from([16, 40, 136]))


@settings(deadline=None, max_examples=15)
@given(shapes, st.floats(0, 0.99), st.sampled_from([Wanda, Magnitude, SparseGPT]))
def test_pruning_reaches_the_sparsity_asked_for_on_any_shape(
    small: Data, shape: tuple[int, int], sparsity: float, method: Callable[..., Intervention]
) -> None:
    lm = tiny_lm(*shape)
    apply(method(sparsity=sparsity), lm, small, KEY)
    for linear in block_linears(lm.model).values():
        rows, inputs = linear.weight.shape
        zeros = int((linear.weight == 0).sum())
        least = rows * inputs * sparsity - (
            rows if method is Wanda else 2
        )  # rounds down by row; by block or whole
        assert least <= zeros <= rows * inputs * sparsity
    measured = measure(lm, small, ["sparsity"])["sparsity"].value
    narrowest = min(linear.in_features for linear in block_linears(lm.model).values())
    assert sparsity - 1 / narrowest <= measured <= sparsity


@settings(deadline=None, max_examples=9)
@given(shapes, st.sampled_from(sorted(PATTERNS)), st.sampled_from([Wanda, Magnitude, SparseGPT]))
def test_a_pattern_is_exact_on_any_shape(
    small: Data, shape: tuple[int, int], pattern: str, method: Callable[..., Intervention]
) -> None:
    step = method(sparsity=0.5, pattern=pattern)
    lm = apply(step, tiny_lm(*shape), small, KEY)
    assert step.holds(lm)
    n, m = PATTERNS[pattern]
    for linear in block_linears(lm.model).values():
        assert ((linear.weight == 0).unflatten(1, (-1, m)).sum(-1) == n).all()


@settings(deadline=None, max_examples=15)
@given(
    shapes,
    st.integers(2, 8),
    st.sampled_from([-1, 1, 2, 4, 8]),
    st.booleans(),
    st.sampled_from([RTN, GPTQ, AWQ]),
)
def test_quantizing_leaves_at_most_two_to_the_bits_values_in_a_group_on_any_shape(
    small: Data,
    shape: tuple[int, int],
    bits: int,
    group: int,
    symmetric: bool,
    method: Callable[..., Intervention],
) -> None:
    step = method(bits=bits, group=group, symmetric=symmetric)
    lm = apply(step, tiny_lm(*shape), small, KEY)
    assert step.holds(lm)
    for name, linear in block_linears(lm.model).items():
        size = linear.in_features if group == -1 else group
        assert distinct_per_group(linear.weight, size) <= 2**bits
        assert lm.grids[name].holds(linear.weight)


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(-1, 140), st.sampled_from([RTN, GPTQ, AWQ]))
def test_a_group_that_does_not_divide_is_refused_before_anything_changes(
    shape: tuple[int, int], group: int, method: Callable[..., Intervention]
) -> None:
    lm = tiny_lm(*shape)
    before, step = lm.fingerprint(), method(group=group)
    widths = {linear.in_features for linear in block_linears(lm.model).values()}
    if group == -1 or (group > 0 and all(width % group == 0 for width in widths)):
        step.check(lm.model)
    else:
        with pytest.raises(InvalidInput, match=rf"^{step.name}\.group (is|must be) .*\b{group}\b"):
            step.check(lm.model)
    assert lm.fingerprint() == before and not lm.grids


@pytest.mark.parametrize("method", [Wanda, Magnitude, SparseGPT])
@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_a_pattern_with_another_sparsity_or_width_is_refused(
    method: Callable[..., Intervention], pattern: str
) -> None:
    for sparsity in (0.0, 0.25, 0.49, 0.65):
        with pytest.raises(
            InvalidInput, match=rf"pattern='{pattern}'.* sparsity must be 0.5, but got {sparsity}"
        ):
            method(sparsity=sparsity, pattern=pattern)
    lm = tiny_lm(24, 42)
    before = lm.fingerprint()
    with pytest.raises(
        InvalidInput,
        match=rf"pattern='{pattern}' does not divide the 42 inputs of layer 0.mlp.down_",
    ):
        method(sparsity=0.5, pattern=pattern).check(lm.model)
    assert lm.fingerprint() == before


@pytest.mark.parametrize(
    "step",
    [
        Wanda(),
        Magnitude(),
        SparseGPT(),
        Wanda(pattern="2:4"),
        SparseGPT(pattern="2:4"),
        RTN(),
        GPTQ(),
        AWQ(),
    ],
    ids=str,
)
def test_twice_is_as_once(
    lm: LM, small: Data, step: Intervention, weights: Callable[[LM], dict[str, Tensor]]
) -> None:
    once = weights(apply(step, lm, small, KEY))
    twice = weights(apply(step, lm, small, KEY))
    assert all(distance(twice[name], once[name]) < 1e-3 for name in once)
    assert step.holds(lm)


# against magnitude pruning, on equal inputs


@pytest.mark.parametrize("sparsity", [0.5, 0.65])
def test_sparsegpt_errs_no_more_than_magnitude_on_every_layer(
    lm: LM, small: Data, dense: Layers, sparsity: float
) -> None:
    apply(Magnitude(sparsity=sparsity), lm, small, KEY)
    for name, linear in block_linears(lm.model).items():
        weight, inputs = dense[name]
        (found,) = SparseGPT(sparsity=sparsity).prune([weight], inputs.gram)
        assert inputs.error(found - weight) <= inputs.error(linear.weight - weight), name


@pytest.mark.parametrize("sparsity", [0.5, 0.65, 0.75])
def test_wanda_errs_no_more_than_magnitude_except_where_outputs_are_uneven(
    lm: LM, small: Data, dense: Layers, sparsity: float
) -> None:
    """Magnitude compares the whole layer and so spares large outputs; Wanda, by its definition, takes of all alike.

    On the testbed the outputs of v_proj and up_proj are uneven (train.spread_channels), and there magnitude may win.
    """
    apply(Magnitude(sparsity=sparsity), lm, small, KEY)
    ours, theirs, worse = 0.0, 0.0, set()
    for name, linear in block_linears(lm.model).items():
        weight, inputs = dense[name]
        found = weight * mask(weight, inputs.gram.diagonal().sqrt(), sparsity)
        all_of_it = inputs.error(weight)
        ours, theirs = (
            ours + inputs.error(found - weight) / all_of_it,
            theirs + inputs.error(linear.weight - weight) / all_of_it,
        )
        if inputs.error(found - weight) > inputs.error(linear.weight - weight):
            worse.add(name.rpartition(".")[2])
    assert worse <= {"v_proj", "up_proj"}
    assert ours < 0.7 * theirs  # relative errors, over all layers


@pytest.mark.parametrize("sparsity", [0.5, 0.65])
def test_wanda_errs_no_more_than_magnitude_of_the_same_comparison_group_on_every_layer(
    dense: Layers, sparsity: float
) -> None:
    """Wanda, section 3: scores are compared per output; so is |W| here, and only the metric differs."""
    for name, (weight, inputs) in dense.items():
        by_wanda = weight * mask(weight, inputs.gram.diagonal().sqrt(), sparsity)
        by_magnitude = weight * mask(weight, torch.ones(weight.shape[1]), sparsity)
        assert inputs.error(by_wanda - weight) <= inputs.error(by_magnitude - weight), name


# compositions


@pytest.mark.parametrize(
    "quantize", [RTN(), GPTQ(), AWQ(), GPTQ(symmetric=True), AWQ(bits=2)], ids=str
)
@pytest.mark.parametrize("prune", [Wanda(), SparseGPT(pattern="2:4")], ids=str)
def test_quantizing_keeps_the_zeros_of_pruning(
    lm: LM, small: Data, prune: Intervention, quantize: Intervention
) -> None:
    apply(prune, lm, small, KEY)
    zeros = {name: linear.weight == 0 for name, linear in block_linears(lm.model).items()}
    apply(quantize, lm, small, KEY)
    for name, linear in block_linears(lm.model).items():
        assert (linear.weight[zeros[name]] == 0).all(), name
    assert prune.holds(lm) and quantize.holds(lm)


@pytest.mark.parametrize("quantize", [RTN(), GPTQ(), AWQ()], ids=str)
@pytest.mark.parametrize("prune", [Wanda(), Wanda(pattern="2:4"), Magnitude()], ids=str)
def test_pruning_keeps_quantized_weights_on_their_grids(
    lm: LM, small: Data, prune: Intervention, quantize: Intervention
) -> None:
    apply(quantize, lm, small, KEY)
    apply(prune, lm, small, KEY)
    for name, linear in block_linears(lm.model).items():
        assert lm.grids[name].holds(linear.weight), name
    assert prune.holds(lm) and quantize.holds(lm)


# calibration


def test_input_statistics_are_those_of_a_plain_forward_pass_over_single_texts(
    lm: LM, small: Data
) -> None:
    names = {linear: name for name, linear in block_linears(lm.model).items()}
    seen: dict[str, list[Tensor]] = {name: [] for name in names.values()}
    handles = [
        linear.register_forward_hook(
            lambda module, args, out: seen[names[module]].append(args[0][0].double())
        )
        for linear in names
    ]
    with torch.no_grad():
        for text in small.calibration:  # no padding
            lm.model(input_ids=torch.tensor([lm.tokenizer.encode(text)]), use_cache=False)
    for handle in handles:
        handle.remove()
    lengths = {len(lm.tokenizer.encode(text)) for text in small.calibration}
    assert len(lengths) > 1  # there is padding to leave out
    for i, (_, observe) in enumerate(calibrated_blocks(lm, small.calibration)):
        found = input_statistics(observe)
        assert found["self_attn.q_proj"] is found["self_attn.k_proj"] is found["self_attn.v_proj"]
        assert found["mlp.gate_proj"] is found["mlp.up_proj"]
        assert len({id(one) for one in found.values()}) == 4
        for name, one in found.items():
            x = torch.cat(seen[f"{i}.{name}"])
            assert one.tokens == len(x)
            assert distance(one.gram, x.T @ x / len(x)) < 1e-5
            assert distance(one.magnitude, x.abs().mean(0)) < 1e-5


def test_a_model_that_flattens_its_tokens_inside_a_block_is_calibrated_too(small: Data) -> None:
    """OPT's decoder layer gives fc1 and fc2 (tokens, hidden), not (texts, tokens, hidden)."""
    lm = random_lm(OPTConfig(**SIZES, ffn_dim=128, word_embed_proj_dim=64))
    for _, observe in calibrated_blocks(lm, small.calibration):
        found = input_statistics(observe)
        assert found["fc1"].tokens == found["self_attn.q_proj"].tokens
