"""The columns of a gain, of moments and estimates whose every number is chosen."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference import intervals as written
from analysis.inference.procedures import Estimates, Moments
from interventions.errors import InvalidInput
from tracking.measures import Error

NAN = np.nan


def test_columns_of_a_share_an_infinite_value_no_direction_and_equal_values() -> None:
    points = pd.DataFrame(
        {
            "better": ["higher", "lower", "neither", "lower"],
            "unit": ["accuracy", "perplexity", "share", "perplexity"],
            "forward": [0.9, 5.0, 0.5, 2.0],
            "backward": [0.2, 4.0, 0.25, 2.0],
            "replicates": [4, 1, 2, 1],
        }
    )
    nothing, zeros = np.full(4, NAN), np.zeros(4)
    moments = Moments(
        mean=np.array([0.7, NAN, 0.25, 0.0]),
        scale=zeros,
        units=np.array([4, 3, 2, 1]),
        is_sample=np.full(4, True),
        variance=np.array([0.04, 0.09, 0.01, 0.04]),
        crossed=np.array([True, True, False, True]),
        bounded=np.full(4, False),
        items=zeros,
        total=zeros,
        squares=zeros,
        differing=zeros,
        single=False,
        item_variance=nothing,
        residual=np.array([NAN, 0.12, NAN, NAN]),
    )
    estimates = Estimates(
        low=np.array([-0.2, 0.5, 0.1, 0.0]),
        high=np.array([1.3, 1.5, 0.4, 0.0]),
        se=np.array([0.3, 0.5, NAN, 0.3]),
        df=np.array([3.0, 2.0, 9.0, 1.0]),
        p=np.array([0.01, 0.02, 0.03, NAN]),
        p_claim=np.array([0.02, 0.03, 0.04, NAN]),
        over_units=np.full(4, True),
    )
    columns = written._gain_columns(points, moments, estimates, 0.95)
    folded = (2 / np.pi) ** 0.5
    expected = {
        "gain": [0.7, -1, NAN, 0],
        "gain_low": [-0.2, -1.5, NAN, 0],
        "gain_high": [1, -0.5, NAN, 0],  # a difference of shares is 1 at most
        "se": [0.3, 0.5, NAN, 0.3],
        "df": [3, 2, NAN, 1],
        "p": [0.01, 0.02, NAN, NAN],
        "p_claim": [0.02, 0.03, NAN, NAN],
        "p_holm": [0.04, 0.04, NAN, NAN],
        "q": [0.02, 0.02, NAN, NAN],
        "differs": [True, True, False, False],
        "noise_floor": [0.3 * folded, 0.5 * folded, NAN, 0.3 * folded],
        "order_sensitivity_low": [0, 0.5, 0.1, 0],
        "order_sensitivity_high": [1, 1.5, 0.4, 0],
        "spread": [0.2, 0.3, 0.1, 0.2],
        # less 0.04 / 4, and 0.12 / 3 where the residual is the larger one
        "item_error": [0.08**0.5, 0.21**0.5, 0, 0.05**0.5],
    }
    assert list(columns) == list(expected)
    for name, numbers in expected.items():
        assert columns[name].tolist() == pytest.approx(numbers, nan_ok=True), name
    ends = [columns[name][3] for name in ("gain", "gain_low", "gain_high")]
    assert not np.signbit(ends).any()  # -0.0 is printed with its sign


@pytest.mark.parametrize(
    ("error", "lows", "highs"),
    [("best", [0, 3, NAN, 0], [0.5, 5, NAN, 0]), ("worst", [0.5, 4, NAN, 0], [1, 6, NAN, 0])],
)
def test_the_ends_of_the_error_are_those_of_the_better_or_the_worse_order(
    monkeypatch: pytest.MonkeyPatch, error: Error, lows: list[float], highs: list[float]
) -> None:
    """Shares of 0.5 to 1.25 and of -0.5 to 0.5 end at 1 and 0; perplexities where they do.

    Of the last point both ends are beyond 1.
    """
    ends = {
        "forward": ([0.0, 4, 0, 0.75], [0.75, 5, 0, 1]),  # shares less 1/2
        "backward": ([-1.0, 3, 0, 0.75], [0.0, 6, 0, 1]),
    }

    def of_order(units: Any, points: Any, scores: Any, order: str) -> tuple[str, np.ndarray]:
        return order, np.array([0.5, 0, 0.5, 0.5])

    def estimated(order: str, confidence: float) -> SimpleNamespace:
        low, high = map(np.array, ends[order])
        return SimpleNamespace(low=low, high=high)

    monkeypatch.setattr(written, "moments_of_order", of_order)
    monkeypatch.setattr(written, "estimate", estimated)
    points = pd.DataFrame(
        {
            "better": ["higher", "lower", "neither", "higher"],
            "unit": ["accuracy", "perplexity", "share", "accuracy"],
        }
    )
    units: Any = None
    columns = written.error_ends(units, points, [], 0.95, error)
    np.testing.assert_array_equal(columns["order_free_error_low"], lows)
    np.testing.assert_array_equal(columns["order_free_error_high"], highs)


def test_a_confidence_that_is_no_share_is_refused_before_anything_is_looked_at() -> None:
    nothing = pd.DataFrame()
    with pytest.raises(InvalidInput, match=r"^confidence must be between 0 and 1, but got 95$"):
        written.intervals(nothing, nothing, confidence=95)
