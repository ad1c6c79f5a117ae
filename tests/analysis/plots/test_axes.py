import math

import pytest

from analysis.plots.axes import AXES, LevelAxis, axis_of


def test_pruning_ends_at_no_zeros_and_quantization_at_sixteen_bits() -> None:
    assert (axis_of("pruning").uncompressed, axis_of("quantization").uncompressed) == (0, 16)
    assert (axis_of("pruning").logarithmic, axis_of("quantization").logarithmic) == (False, True)


def test_an_unknown_group_has_a_linear_axis_without_an_end() -> None:
    assert axis_of("distillation") == LevelAxis(uncompressed=None, ticks=())


def test_a_linear_axis_leaves_four_percent_at_both_ends() -> None:
    assert LevelAxis().limits(0.0, 0.5) == pytest.approx((-0.02, 0.52))
    assert LevelAxis().limits(1.0, 2.0) == pytest.approx((0.96, 2.04))


def test_a_logarithmic_axis_leaves_a_tenth_at_both_ends() -> None:
    axis = AXES["quantization"]
    assert axis.limits(2.0, 16.0) == pytest.approx((2 / 1.1, 17.6))
    assert axis.exponents(2.0, 16.0) == pytest.approx((math.log10(2 / 1.1), math.log10(17.6)))
