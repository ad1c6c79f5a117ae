"""The picture of a ranking, as a whole."""

from tests.analysis.plots.golden import described, stored


def test_bars_of_hand_made_pairs_look_as_stored() -> None:
    assert described("ranking_figure") == stored("ranking_figure")
