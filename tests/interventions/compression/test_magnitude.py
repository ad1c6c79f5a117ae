"""Magnitude pruning against plain sorting: Han et al. 2015, section 3."""

import pytest
from torch import Tensor

from interventions.anatomy import block_linears
from interventions.composition import apply
from interventions.compression.magnitude import Magnitude
from interventions.data.base import Data
from interventions.lm import LM
from tests.interventions.compression.reference import KEY


def weights_by_layer(lm: LM) -> dict[str, Tensor]:
    return {name: linear.weight.clone() for name, linear in block_linears(lm.model).items()}


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9])
def test_the_weights_of_lowest_magnitude_of_a_whole_layer_go(
    lm: LM, small: Data, sparsity: float
) -> None:
    """Rows lose unlike numbers of weights; what stays is as it was."""
    before = weights_by_layer(lm)
    apply(Magnitude(sparsity=sparsity), lm, small, KEY)
    uneven_layers = 0
    for name, weight in weights_by_layer(lm).items():
        magnitudes = sorted(before[name].abs().flatten().tolist())
        count = int(len(magnitudes) * sparsity)
        threshold = magnitudes[count]
        expected = before[name].masked_fill(before[name].abs() < threshold, 0)
        assert weight.equal(expected), name
        zeros_per_row = (weight == 0).sum(1)
        uneven_layers += int(zeros_per_row.min() < zeros_per_row.max())
    assert uneven_layers == (0 if sparsity == 0 else len(before))


@pytest.mark.parametrize(("pattern", "removed", "width"), [("2:4", 2, 4), ("4:8", 4, 8)])
def test_a_pattern_removes_the_lowest_of_consecutive_inputs(
    lm: LM, small: Data, pattern: str, removed: int, width: int
) -> None:
    before = weights_by_layer(lm)["0.mlp.down_proj"]
    apply(Magnitude(pattern=pattern), lm, small, KEY)  # type: ignore[arg-type]
    after = weights_by_layer(lm)["0.mlp.down_proj"]
    for row_before, row_after in zip(before, after, strict=True):
        for start in range(0, len(row_before), width):
            part = row_before[start : start + width]
            expected = part.clone()
            expected[part.abs().argsort()[:removed]] = 0
            assert row_after[start : start + width].equal(expected)


def test_no_calibration_text_is_looked_at(lm: LM, small: Data) -> None:
    assert not Magnitude.reads
    assert Magnitude(sparsity=0.5).holds(apply(Magnitude(sparsity=0.5), lm, small, KEY))
    assert not Magnitude(sparsity=0.6).holds(lm)
