"""Means and standard errors of items, by hand."""

import math

import pytest

from interventions.criteria.scores import Scores, grouped_scores, mean_scores, standard_error


@pytest.mark.parametrize(
    ("values", "error"), [([0, 3], 1.5), ([1, 2, 6], math.sqrt(14 / 2 / 3)), ([4, 4, 4], 0)]
)
def test_a_standard_error_is_the_sample_deviation_over_the_root_of_n(
    values: list[float], error: float
) -> None:
    assert standard_error(values) == pytest.approx(error)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_fewer_than_two_values_have_no_standard_error(values: list[float]) -> None:
    assert math.isnan(standard_error(values))


def test_the_value_is_the_mean_of_the_items() -> None:
    items = {"a": 1.0, "b": 2.0, "c": 6.0}
    scores = mean_scores(items)
    assert (scores.value, scores.items) == (3, items)
    assert scores.stderr == pytest.approx(math.sqrt(14 / 2 / 3))


def test_items_of_a_group_count_as_their_sum_and_an_empty_group_not_at_all() -> None:
    """The mean is 2, the groups' sums less it -3 and 3, whose error is 3: for 2 groups, 4 items."""
    groups = {"x": {"a": 0.0, "b": 1.0, "c": 2.0}, "y": {"a": 5.0}, "z": {}}
    items = {"x/a": 0.0, "x/b": 1.0, "x/c": 2.0, "y/a": 5.0}
    assert grouped_scores(groups) == Scores(2.0, 1.5, items)
