"""Compressions after one another, and twice."""

import dataclasses
from collections.abc import Callable

import pytest
from torch import Tensor

from interventions.anatomy import block_linears
from interventions.base import Intervention
from interventions.composition import apply
from interventions.compression.awq import AWQ
from interventions.compression.gptq import GPTQ
from interventions.compression.hqq import HQQ
from interventions.compression.magnitude import Magnitude
from interventions.compression.rtn import RTN
from interventions.compression.sparsegpt import SparseGPT
from interventions.compression.wanda import Wanda
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.lm import LM
from tests.interventions.compression.reference import KEY, distance


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
        HQQ(),
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


@pytest.mark.parametrize(
    "quantize", [RTN(), GPTQ(), AWQ(), HQQ(), GPTQ(symmetric=True), AWQ(bits=2)], ids=str
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


@pytest.mark.parametrize("quantize", [RTN(), GPTQ(), AWQ(), HQQ()], ids=str)
@pytest.mark.parametrize("prune", [Wanda(), Wanda(pattern="2:4"), Magnitude()], ids=str)
def test_pruning_keeps_quantized_weights_on_their_grids(
    lm: LM, small: Data, prune: Intervention, quantize: Intervention
) -> None:
    apply(quantize, lm, small, KEY)
    apply(prune, lm, small, KEY)
    for name, linear in block_linears(lm.model).items():
        assert lm.grids[name].holds(linear.weight), name
    assert prune.holds(lm) and quantize.holds(lm)


def test_a_part_that_no_step_reads_changes_no_weights(small: Data) -> None:
    fewer_edits = dataclasses.replace(small, edits=small.edits[:1], locality=small.locality[:1])
    assert (
        len({apply(Wanda(), LM.load(MODEL), d, KEY).fingerprint() for d in (small, fewer_edits)})
        == 1
    )
    attention = [f"self_attn.{part}_proj" for part in "qkvo"]
    mlp = [f"mlp.{part}_proj" for part in ("gate", "up", "down")]
    expected = {f"{i}.{name}" for i in range(6) for name in (*attention, *mlp)}
    assert set(block_linears(LM.load(MODEL).model)) == expected
