"""Rounding to nearest against a reference in float64."""

import pytest

from interventions.anatomy import block_linears
from interventions.composition import apply
from interventions.compression.rtn import RTN
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.lm import LM
from tests.interventions.compression.reference import (
    KEY,
    distance,
    distinct_per_group,
    range_grid,
    to_nearest,
)


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
