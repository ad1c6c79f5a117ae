"""Order sensitivity with plotly, as a whole."""

from tests.analysis.plots.golden import described, stored


def test_matrices_of_hand_made_criteria_look_as_stored() -> None:
    assert described("interactive_heat") == stored("interactive_heat")
