"""Grids, and what all quantizing methods promise."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from interventions.anatomy import block_linears
from interventions.base import Intervention
from interventions.composition import apply
from interventions.compression.awq import AWQ
from interventions.compression.gptq import GPTQ
from interventions.compression.hqq import HQQ
from interventions.compression.quantization import check_group, fit_grid, group_size
from interventions.compression.rtn import RTN
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.quantization_grid import QuantizationGrid
from tests.interventions.compression.reference import (
    KEY,
    distance,
    distinct_per_group,
    random_layer,
    range_grid,
    shapes,
    tiny_lm,
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
    grid = fit_grid(weight, bits, group, symmetric)
    rounded = grid.nearest(weight)
    scale, _ = range_grid(weight, bits, group, symmetric)
    torch.testing.assert_close(grid.scale.double(), scale[:, ::group], rtol=1e-5, atol=0)
    for i in range(rows):
        for j in range(groups * group):
            step, offset = float(grid.scale[i, j // group]), float(grid.zero[i, j // group])
            values = [step * (k - offset) for k in range(2**bits)]
            nearest = min(abs(v - float(weight[i, j])) for v in values)
            assert (
                abs(float(rounded[i, j]) - float(weight[i, j])) <= nearest + 1e-5 * step * 2**bits
            )
            assert nearest <= step * 0.5001
            assert min(abs(v - float(rounded[i, j])) for v in values) <= 1e-5 * step * 2**bits
            assert 0.0 in values
    assert distinct_per_group(rounded, group) <= 2**bits
    assert grid.holds(rounded)
    assert torch.equal(grid.nearest(rounded), rounded)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("constant", [0.0, 0.7, -0.7])
@pytest.mark.parametrize("bits", [2, 3, 8])
def test_a_group_of_one_value_is_exact_or_symmetric_and_half_a_step_off(
    bits: int, constant: float, symmetric: bool
) -> None:
    weight = torch.full((2, 8), constant)
    grid = fit_grid(weight, bits, 4, symmetric)
    off = float((grid.nearest(weight) - weight).abs().max())
    half = abs(constant) / (
        2**bits - 1
    )  # a symmetric grid of an even number of values has none at its range's ends
    assert off <= (1.001 * half if symmetric else 1e-6)
    assert bool(torch.isfinite(grid.scale).all()) and bool((grid.scale > 0).all())


def test_eight_bits_are_nearly_exact() -> None:
    weight, _ = random_layer(32, 256, seed=0)
    for symmetric in (False, True):
        assert distance(fit_grid(weight, 8, 64, symmetric).nearest(weight), weight) < 0.01


def test_weights_off_the_grid_are_not_held() -> None:
    weight, _ = random_layer(4, 32, seed=0)
    grid = fit_grid(weight, 4, 16, False)
    on = grid.nearest(weight)
    off = on.clone()
    off[3, 17] += 0.1 * grid.scale[3, 1]
    assert grid.holds(on) and not grid.holds(off) and not grid.holds(on[:3])


def test_a_grid_holds_what_bfloat16_makes_of_its_values() -> None:
    """Spacing doubles at powers of two: 1.0, 167.4 steps, is the bfloat16 nearest to 168 steps."""
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
        groups = lm.grids[name].input_groups  # GPTQ's may be of inputs that are not consecutive
        weight = linear.weight if groups is None else linear.weight[:, groups.argsort(stable=True)]
        assert distinct_per_group(weight, size) <= 2**bits
        assert lm.grids[name].holds(linear.weight)


@pytest.mark.parametrize("name", ["0.self_attn.q_proj", "0.mlp.up_proj"])
@pytest.mark.parametrize("method", [RTN, GPTQ, AWQ, HQQ])
def test_a_layer_that_lies_on_its_grid_is_left_and_the_others_are_quantized(
    lm: LM, small: Data, method: Callable[..., Intervention], name: str
) -> None:
    """It shares its inputs, and the norm before it, with others; up_proj has down_proj after it."""
    step = method(bits=3, group=32)
    weight = block_linears(lm.model)[name].weight
    grid = fit_grid(weight, 3, 32, symmetric=False)
    lm.quantize(name, weight, grid, weight)
    quantized = weight.clone()
    assert not step.holds(lm)
    apply(step, lm, small, KEY)
    assert torch.equal(weight, quantized)
    assert torch.equal(lm.grids[name].scale, grid.scale)
    assert step.holds(lm)


@pytest.mark.parametrize("method", [RTN, GPTQ, AWQ, HQQ])
def test_layers_on_a_finer_grid_are_quantized_again(
    lm: LM, small: Data, method: Callable[..., Intervention]
) -> None:
    apply(RTN(bits=8, group=32), lm, small, KEY)
    step = method(bits=3, group=32)
    assert not step.holds(lm)
    assert step.holds(apply(step, lm, small, KEY))
    assert {grid.bits for grid in lm.grids.values()} == {3}


def test_a_group_may_be_as_wide_as_the_narrowest_layer() -> None:
    RTN(group=8).check(tiny_lm(8, 16).model)
    with pytest.raises(InvalidInput, match="does not divide the 8 inputs"):
        RTN(group=16).check(tiny_lm(8, 16).model)


@pytest.mark.parametrize("group", [-1, 32])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("method", [RTN, GPTQ, AWQ])
def test_grids_are_of_the_kind_that_the_fields_say(
    lm: LM, small: Data, method: Callable[..., Intervention], symmetric: bool, group: int
) -> None:
    apply(method(bits=4, group=group, symmetric=symmetric), lm, small, KEY)
    for name, linear in block_linears(lm.model).items():
        grid = lm.grids[name]
        assert grid.bits == 4 and grid.group == (linear.in_features if group == -1 else group)
        assert bool((grid.zero == 8).all()) == symmetric


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(-1, 140), st.sampled_from([RTN, GPTQ, AWQ, HQQ]))
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


def test_a_group_that_divides_nothing_names_those_that_do_also_where_all_layers_are_as_wide() -> (
    None
):
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    with pytest.raises(InvalidInput, match=r"one of 1, 2, 4, 8, 16$"):
        check_group(LlamaForCausalLM(config), 3, "rtn")


def test_the_narrowest_layer_says_which_groups_fit_and_the_first_refusal_names_it() -> None:
    """Its blocks have 48 inputs, and 40 at the MLP's end, but 16 at that of attention."""
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=48,
        intermediate_size=40,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
    )
    message = r"divide the 16 inputs of layer 0\.self_attn\.o_proj; .* one of 1, 2, 4, 8$"
    with pytest.raises(InvalidInput, match=message):
        check_group(LlamaForCausalLM(config), 7, "rtn")
    with pytest.raises(InvalidInput, match=r"divide the 40 inputs of layer 0\.mlp\.down_proj"):
        check_group(LlamaForCausalLM(config), 16, "rtn")
    assert (group_size(-1, 48), group_size(1, 48), group_size(12, 48)) == (48, 1, 12)


# groups of both signs, above 0, below 0, and of zeros
FOUR_GROUPS = torch.tensor([[-1, 0.5, 2, 0], [2, 4, 6, 3], [-1.5, -1, -0.5, -0.25], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("symmetric", "shrink", "scale", "zero"),
    [
        (False, 1.0, [1, 2, 0.5, 1], [1, 0, 3, 0]),
        (False, 0.75, [2.5 / 3, 1.5, 0.375, 1], [1, 0, 3, 0]),
        (True, 1.0, [4 / 3, 4, 1, 1], [2, 2, 2, 2]),
        (True, 0.75, [1, 3, 0.75, 1], [2, 2, 2, 2]),
    ],
)
def test_a_grid_of_two_bits_spans_its_group_or_the_share_that_is_left_of_it(
    symmetric: bool, shrink: float, scale: list[float], zero: list[float]
) -> None:
    """Cut off at 3/4, the first reaches from -1, which stays, to 3/2: its 0 is at 1.2 steps."""
    grid = fit_grid(FOUR_GROUPS.view(2, 8), 2, 4, symmetric, shrink)
    torch.testing.assert_close(grid.scale.flatten(), torch.tensor(scale))
    assert grid.zero.flatten().tolist() == zero
    assert (grid.bits, grid.group, grid.scale.shape) == (2, 4, (2, 2))
    rows = fit_grid(FOUR_GROUPS, 2, -1, symmetric, shrink)
    assert torch.equal(rows.scale.flatten(), grid.scale.flatten()) and rows.group == 4
