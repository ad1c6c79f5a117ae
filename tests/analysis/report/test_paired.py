import numpy as np
import pytest
from scipy import stats

from analysis.report.paired import paired_test


def test_it_is_students_paired_t() -> None:
    values = [0.12, 0.05, 0.2, -0.02]
    test = paired_test(values)
    expected = stats.ttest_1samp(values, 0)
    assert test.p == pytest.approx(expected.pvalue)
    assert (test.low, test.high) == pytest.approx(expected.confidence_interval())
    assert test.p_greater == pytest.approx(
        stats.ttest_1samp(values, 0, alternative="greater").pvalue
    )


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.6], [0.5] * 9, [0.1, 0.1 + 1e-13, 0.1]])
def test_nothing_is_tested_without_three_units_and_spread(values: list[float]) -> None:
    test = paired_test(values)
    assert np.isnan([test.low, test.high, test.p]).all()
    assert np.isnan(test.mean) == (not values)


def test_as_much_spread_as_rounding_makes_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [0.0, 0.5, 1.0]  # their variance is 0.25
    for rounding, is_tested in ((0.25, False), (0.2499, True)):
        monkeypatch.setattr("analysis.report.paired._NO_SPREAD", rounding)
        assert np.isfinite(paired_test(values).p) == is_tested


def test_an_infinite_difference_is_not_tested() -> None:
    assert np.isnan(paired_test([0.1, 0.2, np.inf]).mean)
