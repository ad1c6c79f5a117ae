"""Moments of runs and scores whose means and variances are worked out by hand."""

import numpy as np

from analysis.inference.moments import (
    _with_items,
    moments_of_gains,
    moments_of_order,
    moments_of_scores,
    of_one_order,
)
from analysis.inference.units import collect_units
from analysis.metrics.composability import point
from tests.analysis.synthetic import curve, frame


def test_two_batches_have_a_variance_and_an_infinite_run_leaves_no_unit() -> None:
    runs = []
    for batch, (first, second) in enumerate([(3.0, 6.0), (5.0, 4.0)]):
        forward, backward = [first, np.inf if batch else 9.0], [second, 8.0]
        runs += curve(
            "ft", "wanda", [0.5, 0.75], forward, backward,
            criterion="wikitext_ppl", edit_batch=batch,
        )  # fmt: skip
    table = frame(runs)
    points = point(table).sort_values("level")
    units = collect_units(table, points)
    gains = moments_of_gains(units, points, [])
    np.testing.assert_array_equal(gains.mean, [-1, np.nan])
    np.testing.assert_array_equal(gains.variance, [8, np.nan])
    np.testing.assert_array_equal(gains.units, [2, 0])
    assert gains.scale[0] == 9  # of 3 + 6 and 5 + 4
    assert not gains.bounded.any() and not gains.single
    values, shift = moments_of_order(units, points, [], "forward")
    # no share: nothing is taken away
    assert (values.mean[0], values.variance[0], shift.tolist()) == (4, 2, [0, 0])


def test_two_units_of_scores_have_a_variance() -> None:
    moments = moments_of_scores(np.array([[[0.0, 0.5], [1.0, 0.5]]]), crossed=False)
    assert (moments.mean[0], moments.variance[0]) == (0.5, 0.125)


def test_a_share_differs_by_its_distance_from_the_nearer_end() -> None:
    scores = np.array([[[0.5] * 8 + [-0.5] * 2]])  # 8 of 10 right
    assert of_one_order(moments_of_scores(scores, crossed=False)).differing.tolist() == [2]


def test_scores_beyond_one_are_not_bounded() -> None:
    moments = moments_of_scores(np.zeros((2, 1, 2)), crossed=False)
    scores = [(0, False, [np.array([1.5, 0.0])]), (1, False, [np.array([1.0, -1.0])])]
    assert _with_items(moments, scores).bounded.tolist() == [False, True]
