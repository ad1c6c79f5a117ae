"""Pareto fronts with plotly, as a whole."""

from tests.analysis.plots.golden import described, stored


def test_fronts_of_hand_made_pairs_look_as_stored() -> None:
    assert described("interactive_fronts") == stored("interactive_fronts")
