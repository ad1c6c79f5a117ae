import pytest

from analysis.plots.axes import LevelAxis, axis_of


def test_pruning_ends_at_no_zeros_and_quantization_at_sixteen_bits() -> None:
    assert (axis_of("pruning").uncompressed, axis_of("quantization").uncompressed) == (0, 16)


def test_an_unknown_group_has_an_axis_without_an_end() -> None:
    assert axis_of("distillation") == LevelAxis(uncompressed=None)


def test_an_axis_leaves_four_percent_at_both_ends() -> None:
    assert LevelAxis().limits(0.0, 0.5) == pytest.approx((-0.02, 0.52))
    assert LevelAxis().limits(1.0, 2.0) == pytest.approx((0.96, 2.04))
