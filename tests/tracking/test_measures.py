"""Order sensitivity and order-free error, of numbers and of whole columns."""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tracking import measures
from tracking.measures import MEASURES, Error, order_free_error, order_sensitivity

VALUES = (0.0, 0.25, 0.5, 1.0, 3.0, math.inf, math.nan)
DIRECTIONS = ("higher", "lower", "neither")
COLUMNS = pd.DataFrame(
    list(itertools.product(VALUES, VALUES, DIRECTIONS)), columns=["forward", "backward", "better"]
)


def test_the_error_is_that_of_the_better_order() -> None:
    assert order_free_error(0.9, 0.6, "higher") == pytest.approx(0.1)
    assert order_free_error(0.9, 0.6, "lower") == 0.6
    assert math.isnan(order_free_error(0.9, 0.6, "neither"))


def test_the_printed_equation_1_takes_the_worse_order() -> None:
    assert order_free_error(0.9, 0.6, "higher", error="worst") == pytest.approx(0.4)
    assert order_free_error(0.9, 0.6, "lower", error="worst") == 0.9
    assert math.isnan(order_free_error(0.9, 0.6, "neither", error="worst"))


def test_sensitivity_is_the_distance_of_both_orders() -> None:
    assert order_sensitivity(0.9, 0.6) == order_sensitivity(0.6, 0.9) == pytest.approx(0.3)
    assert order_sensitivity(math.inf, 1.0) == math.inf
    assert math.isnan(order_sensitivity(math.inf, math.inf))


@pytest.mark.parametrize("error", ["best", "worst"])
@pytest.mark.parametrize("kind", ["series", "array"])
def test_columns_have_the_values_of_single_numbers(kind: str, error: Error) -> None:
    columns: list[Any] = [COLUMNS[name] for name in COLUMNS]
    if kind == "array":
        columns = [column.to_numpy() for column in columns]
    forward, backward, better = columns
    errors = order_free_error(forward, backward, better, error)
    rows: list[Any] = list(COLUMNS.itertuples())
    distances = order_sensitivity(forward, backward)
    for row, column_error, distance in zip(rows, errors, np.asarray(distances), strict=True):
        single = order_free_error(row.forward, row.backward, row.better, error)
        assert column_error == pytest.approx(single, nan_ok=True)
        assert distance == pytest.approx(order_sensitivity(row.forward, row.backward), nan_ok=True)


def test_a_missing_order_has_no_measure() -> None:
    assert math.isnan(order_free_error(math.nan, 0.5, "higher"))
    assert math.isnan(order_free_error(0.5, math.nan, "lower"))
    assert math.isnan(order_sensitivity(math.nan, 0.5))


def test_numbers_stay_numbers_and_a_series_keeps_its_index() -> None:
    assert type(order_free_error(0.5, 0.25, "higher")) is float
    assert type(order_sensitivity(0.5, 0.25)) is float
    series = pd.Series([0.5, 0.25], index=["a", "b"])
    assert list(order_sensitivity(series, series + 1).index) == ["a", "b"]


def test_what_a_study_minimizes_is_never_nan() -> None:
    """Two destroyed models, both of infinite perplexity, must not seem to compose well."""
    for forward, backward in itertools.product((0.25, 0.5, math.inf), repeat=2):
        for better in DIRECTIONS:
            sensitivity = MEASURES["order_sensitivity"](forward, backward, better)
            both_infinite = math.inf in (forward, backward) and forward == backward
            assert sensitivity == (math.inf if both_infinite else abs(forward - backward))
            error = MEASURES["order_free_error"](forward, backward, better)
            best = max(forward, backward) if better == "higher" else min(forward, backward)
            assert error == (1 - best if better == "higher" else best)


def test_a_study_minimizes_no_sensitivity_that_two_destroyed_models_share() -> None:
    of_study = measures._sensitivity_to_minimize
    assert of_study(0.75, 0.5, "higher") == 0.25
    assert of_study(math.inf, math.inf, "lower") == math.inf == of_study(math.inf, 1.0, "lower")
    assert math.isnan(of_study(math.nan, 1.0, "lower"))
