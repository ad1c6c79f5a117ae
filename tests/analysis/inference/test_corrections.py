import numpy as np
import pytest

from analysis.inference.corrections import benjamini_hochberg, holm, may_claim

P = np.array([0.01, np.nan, 0.04, 0.03, 0.005])


def test_holm_multiplies_the_smallest_by_all_and_never_goes_down() -> None:
    """Sorted .005 x 4, .01 x 3, .03 x 2, and .04 x 1, which the one before exceeds."""
    corrected = holm(P)
    assert corrected == pytest.approx([0.03, np.nan, 0.06, 0.06, 0.02], nan_ok=True)
    assert holm(np.array([0.6, 0.7])).max() == 1


def test_benjamini_hochberg_multiplies_by_the_share_that_is_as_small() -> None:
    """Sorted .005 x 4/1, .01 x 4/2, .03 x 4/3, .04 x 4/4."""
    corrected = benjamini_hochberg(P)
    assert corrected == pytest.approx([0.02, np.nan, 0.04, 0.04, 0.02], nan_ok=True)


def test_what_is_no_test_counts_in_no_correction() -> None:
    nothing = np.full(3, np.nan)
    assert np.isnan(holm(nothing)).all() and np.isnan(benjamini_hochberg(nothing)).all()
    assert holm(np.array([0.02, np.nan, np.nan]))[0] == 0.02
    assert holm(np.zeros(0)).shape == benjamini_hochberg(np.zeros(0)).shape == (0,)


def test_a_claim_needs_a_test_that_is_as_small_as_the_confidence_says() -> None:
    p = np.array([0.05, 0.0501, np.nan])
    assert may_claim(p, 0.95).tolist() == [True, False, False]
    assert may_claim(p, 0.9).tolist() == [True, True, False]
    # 1 - 0.95 is not exactly 0.05: a trillionth more is rounding
    rounded = np.array([0.05 + 0.9e-12, 0.05 + 1.5e-12])
    assert may_claim(rounded, 0.95).tolist() == [True, False]
