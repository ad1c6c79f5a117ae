"""AWQ against a brute-force search written from the paper, and plain forward passes.

Sources, by the names used below:
  AWQ: Lin et al., "AWQ", MLSys 2024 (arXiv 2306.00978v5), equations 4 and 5.
"""

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BitNetConfig,
    BloomConfig,
    GemmaConfig,
    Glm4MoeConfig,
    LlamaConfig,
    OPTConfig,
    PhiConfig,
    Qwen3Config,
)

from interventions.anatomy import block_linears
from interventions.composition import apply
from interventions.compression.awq import AWQ
from interventions.compression.calibration import Inputs
from interventions.compression.quantization import fit_grid
from interventions.data.base import Data
from interventions.feeders import Feeder, feeders
from interventions.lm import LM
from interventions.quantization_grid import QuantizationGrid
from tests.interventions.compression.reference import (
    KEY,
    SIZES,
    distance,
    logits,
    random_layer,
    random_lm,
    range_grid,
    squared_error,
    to_nearest,
)

PLAIN = Feeder(nn.Identity())


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    ("bits", "group", "seed", "exponents"),
    [(2, 16, 0, 20), (3, 16, 1, 20), (3, 48, 2, 20), (4, 24, 3, 20), (3, 16, 1, 7)],
)
def test_awqs_scale_is_a_brute_force_searchs_by_equations_4_and_5(
    bits: int, group: int, seed: int, exponents: int, symmetric: bool
) -> None:
    """L(s) = || Q(W diag(s)) (diag(s)^-1 X) - W X ||, s = s_X^a, with s_X the mean |x|.

    The values of a are those of the authors' code: 0, 1/20, …, 19/20.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(120, 48, generator=generator) * torch.rand(48, generator=generator).mul(4).exp()
    weights = [torch.randn(rows, 48, generator=generator) for rows in (6, 10)]
    if symmetric:
        weights = [weight.abs() for weight in weights]  # no ties: see greatest_made_positive
    errors, scales = [], []
    for tried in range(exponents):
        s = x.double().abs().mean(0) ** (tried / exponents)
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
    best = min(range(exponents), key=errors.__getitem__)
    assert best > 0  # plain rounding is not the answer: there is something to find
    step = AWQ(bits=bits, group=group, symmetric=symmetric, exponents=exponents)
    inputs = Inputs(x.T @ x / len(x), x.abs().mean(0), len(x))
    scale = step.search([(weight, inputs) for weight in weights], PLAIN)
    torch.testing.assert_close(scale.double(), scales[best], rtol=1e-4, atol=0)


def test_the_first_exponent_is_0_which_is_plain_rounding() -> None:
    weight, gram = random_layer(6, 32, seed=1)
    inputs = Inputs(gram, gram.diagonal().sqrt(), 96)
    assert torch.equal(AWQ(group=16, exponents=1).search([(weight, inputs)], PLAIN), torch.ones(32))


def test_ranges_are_searched_on_the_inputs_as_they_are_after_the_scaling(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers behind a folded scale s see x / s, so that their Hessian is X'X / (s s')."""
    names = {id(linear.weight): name for name, linear in block_linears(lm.model).items()}
    expected_grams: dict[str, Tensor] = {}
    search, fitted = AWQ.search, AWQ.fitted

    def noted_search(step: AWQ, fed: list[tuple[Tensor, Inputs]], feeder: Feeder) -> Tensor:
        scale = search(step, fed, feeder)
        for weight, inputs in fed:
            expected_grams[names[id(weight)]] = inputs.gram / torch.outer(scale, scale)
        return scale

    compared_layers: set[str] = set()

    def noted_fitted(step: AWQ, weight: Tensor, inputs: Inputs) -> QuantizationGrid:
        name = names[id(weight)]
        if name in expected_grams:
            compared_layers.add(name)
            assert distance(inputs.gram, expected_grams[name]) < 1e-5
        return fitted(step, weight, inputs)

    monkeypatch.setattr(AWQ, "search", noted_search)
    monkeypatch.setattr(AWQ, "fitted", noted_fitted)
    apply(AWQ(bits=3, group=64, samples=4), lm, small, KEY)
    assert len(compared_layers) == 6 * 7


def test_every_groups_range_is_shrunk_to_the_one_of_least_error() -> None:
    """Cut off at 1 down to .55 of its greatest |w|, in steps of .05, for each group alone.

    A row whose groups together err more so keeps its full ranges.
    """
    weight, gram = random_layer(12, 32, seed=8)
    grid = AWQ(bits=2, group=16).fitted(weight, Inputs(gram, gram.diagonal().sqrt(), 96))
    shrunk = 0
    for i in range(12):
        best_scales, best_changes, full_scales, full_changes = [], [], [], []
        for k in range(2):
            values, block = weight[i, 16 * k :][:16].double(), gram[16 * k :, 16 * k :][:16, :16]
            errors, scales, changes = [], [], []
            for shrink in (1 - tried / 20 for tried in range(10)):
                limit = values.abs().max() * shrink
                clamped = values.clamp(-limit, limit)
                low, high = clamped.min().clamp(max=0), clamped.max().clamp(min=0)
                scale = (high - low) / 3
                zero = (-low / scale).round()
                integers = ((values / scale).round() + zero).clamp(0, 3)
                change = scale * (integers - zero) - values
                errors.append(float(change @ block.double() @ change))
                scales.append(float(scale))
                changes.append(change)
            best = min(range(10), key=errors.__getitem__)
            best_scales.append(scales[best])
            best_changes.append(changes[best])
            full_scales.append(scales[0])
            full_changes.append(changes[0])
            shrunk += best > 0
        best_error, full_error = (
            squared_error(torch.cat(changes)[None], gram)
            for changes in (best_changes, full_changes)
        )
        expected = best_scales if best_error < full_error else full_scales
        assert grid.scale[i].tolist() == pytest.approx(expected, rel=1e-5)
    assert shrunk > 12


def test_narrower_ranges_are_taken_only_if_the_outputs_error_falls() -> None:
    """Two groups with opposite inputs: their errors cancel at the full range, not at others."""
    generator = torch.Generator().manual_seed(4)
    half = torch.randn(1, 8, generator=generator)
    weight = torch.cat([half, half], dim=1)
    x = torch.randn(64, 8, generator=generator)
    inputs = torch.cat([x, -x], dim=1)
    statistics = Inputs(inputs.T @ inputs / 64, inputs.abs().mean(0), 64)
    clipped = AWQ(bits=2, group=8).fitted(weight, statistics)
    full = fit_grid(weight, 2, 8, symmetric=False)
    assert torch.equal(clipped.scale, full.scale)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_awq_errs_no_more_than_rounding_on_every_layer(
    lm: LM, data: Data, monkeypatch: pytest.MonkeyPatch, symmetric: bool, clip: bool
) -> None:
    """At 3 bits, both errors in units of before any scaling, on the inputs of the layer."""
    layers = block_linears(lm.model)
    before = {name: linear.weight.clone() for name, linear in layers.items()}
    names = {id(linear.weight): name for name, linear in layers.items()}
    scales: dict[str, Tensor] = {}
    grams: dict[str, Tensor] = {}
    search, fitted = AWQ.search, AWQ.fitted

    def watched_search(step: AWQ, fed: list[tuple[Tensor, Inputs]], feeder: Feeder) -> Tensor:
        scale = search(step, fed, feeder)
        for weight, inputs in fed:
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
    assert set(grams) == set(layers) == set(scales)
    for name, linear in layers.items():
        effective = linear.weight.double() / scales[name]
        # the outputs of these are the inputs of another, and scaled as those
        for before_name, after_name in (("up_proj", "down_proj"), ("v_proj", "o_proj")):
            if name.endswith(before_name):
                after = scales[name.replace(before_name, after_name)]
                # the two query heads that read a head of values scale it alike
                each = len(after) // len(effective)
                heads = after.view(-1, each, 32)
                assert torch.equal(heads, heads[:, :1].expand_as(heads)) or each == 1
                effective *= heads[:, 0].flatten()[:, None] if each > 1 else after[:, None]
        rounded = fit_grid(before[name], 3, 64, symmetric).nearest(before[name])
        ours, theirs = (
            squared_error(w.double() - before[name], grams[name]) for w in (effective, rounded)
        )
        assert ours <= theirs * (1 + 1e-6), name


def test_each_output_decides_by_itself_whether_it_takes_narrower_ranges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last row is better off with full ranges, whatever those before it gain."""
    generator = torch.Generator().manual_seed(4)
    half = torch.randn(1, 8, generator=generator)
    cancelling = torch.cat([half, half], dim=1)
    weight = torch.cat([torch.randn(9, 16, generator=generator), cancelling])
    x = torch.randn(64, 8, generator=generator)
    inputs = torch.cat([x, -x], dim=1)
    statistics = Inputs(inputs.T @ inputs / 64, inputs.abs().mean(0), 64)
    step, full = AWQ(bits=2, group=8), fit_grid(weight, 2, 8, symmetric=False)
    at_once = step.fitted(weight, statistics)
    assert torch.equal(at_once.scale[-1], full.scale[-1])
    assert not torch.equal(at_once.scale, full.scale)
    monkeypatch.setattr("interventions.compression.awq.ROWS", 3)
    row_by_row = step.fitted(weight, statistics)
    torch.testing.assert_close(row_by_row.scale, at_once.scale)


def without_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWQ scales and folds only."""
    monkeypatch.setattr(LM, "quantize", lambda *args: None)


# and how many tensors change; BLOOM's residual reads the norm's output too, BitNet has a norm
# between up and down: nothing can be folded there
FAMILIES = [
    pytest.param(
        LlamaConfig(**SIZES, intermediate_size=128, num_key_value_heads=2), 18, id="llama"
    ),
    pytest.param(
        Qwen3Config(**SIZES, intermediate_size=128, num_key_value_heads=2, head_dim=16),
        18,
        id="qwen3",
    ),
    pytest.param(
        PhiConfig(**SIZES, intermediate_size=128), 16, id="phi"
    ),  # biases; attention and MLP share a norm
    pytest.param(
        GemmaConfig(**SIZES, intermediate_size=128, num_key_value_heads=2, head_dim=16),
        18,
        id="gemma",
    ),
    pytest.param(OPTConfig(**SIZES, ffn_dim=128, word_embed_proj_dim=64), 24, id="opt"),
    pytest.param(
        BloomConfig(**SIZES, apply_residual_connection_post_layernorm=True), None, id="bloom"
    ),
    pytest.param(
        BitNetConfig(**SIZES, intermediate_size=128, num_key_value_heads=2), None, id="bitnet"
    ),
    pytest.param(
        Glm4MoeConfig(
            **SIZES,
            num_key_value_heads=2,
            head_dim=16,
            n_routed_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=64,
            first_k_dense_replace=0,
        ),
        None,
        id="glm4_moe",
    ),
]


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


def test_awq_folds_into_a_norm_that_adds_one_to_its_weight(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lm.model.model.layers[0]
    before = logits(lm, small)
    norm = OnePlusNorm(first.input_layernorm.weight)
    first.input_layernorm = norm
    assert distance(logits(lm, small), before) < 1e-5
    with feeders(first) as readers:
        logits(lm, small)
    queries = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]
    second = first.post_attention_layernorm
    unchanged = norm.weight.clone()
    assert readers.scales(Feeder(norm, added_one=True), queries)
    assert not readers.scales(Feeder(norm), queries)
    assert not readers.scales(Feeder(norm, added_one=True), queries[:2])  # another reads it too
    assert readers.scales(Feeder(second), ["mlp.gate_proj", "mlp.up_proj"])
    assert not readers.scales(Feeder(second), ["mlp.gate_proj"])
    assert torch.equal(norm.weight, unchanged)
    apply(AWQ(bits=8), lm, small, KEY)
    assert not torch.equal(norm.weight, unchanged)
    assert distance(logits(lm, small), before) < 0.02
