"""Tables of runs and plain arrays lead to the same moments, so the simulation is of the report."""

import numpy as np
import pytest

from analysis.inference.item_scores import items_of_points
from analysis.inference.moments import (
    moments_of_gains,
    moments_of_order,
    moments_of_scores,
    of_one_order,
)
from analysis.inference.procedures import estimate
from analysis.inference.units import collect_units
from analysis.metrics.composability import point
from benchmarks.null_pairs import Cell, scores
from tests.analysis.inference.replicated import interval, scored

COLUMNS = ("mean", "variance", "units", "items", "total", "squares", "item_variance", "residual")


@pytest.mark.parametrize(("kind", "criterion"), [("nested", "edit_success"), ("crossed", "mmlu")])
@pytest.mark.parametrize("batches", [1, 4])
def test_a_table_has_the_moments_of_its_scores(kind: str, criterion: str, batches: int) -> None:
    cell = Cell(batches, 1, 0.03, kind, pairs=1)
    forward, backward = scores(cell, np.random.default_rng(batches))
    runs, items = scored(forward[0], backward[0], criterion)
    points = point(runs)
    units = collect_units(runs, points)
    read = items_of_points(units, points, items)
    # with one batch nested items are those of one unit
    crossed = kind == "crossed" or batches == 1
    of_table = moments_of_gains(units, points, read)
    of_arrays = moments_of_scores(forward - backward, crossed)
    for name in COLUMNS:
        expected = getattr(of_arrays, name)
        assert getattr(of_table, name) == pytest.approx(expected, nan_ok=True), name
    one_order, shift = moments_of_order(units, points, read, "backward")
    expected_order = of_one_order(moments_of_scores(backward - 0.5, crossed))
    for name in (*COLUMNS, "differing"):
        expected = getattr(expected_order, name)
        assert getattr(one_order, name) == pytest.approx(expected, nan_ok=True), name
    assert shift.tolist() == [0.5] and one_order.single
    row, estimates = interval(runs, items), estimate(of_arrays, 0.95)
    assert (row.gain_low, row.gain_high) == pytest.approx((estimates.low[0], estimates.high[0]))
    assert row.p == pytest.approx(estimates.p[0], nan_ok=True)
