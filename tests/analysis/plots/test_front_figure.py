"""Pareto fronts as PNG, as a whole."""

from dataclasses import replace

from analysis.plots.front_figure import draw_fronts
from tests.analysis.plots.golden import described, stored
from tests.analysis.plots.hand_made import TITLES, front_grid


def test_fronts_of_hand_made_pairs_look_as_stored() -> None:
    assert described("front_figure") == stored("front_figure")


def test_a_single_front_has_room_for_its_caption() -> None:
    grid = front_grid()
    figure = draw_fronts(replace(grid, fronts=grid.fronts[-1:]), TITLES)
    assert figure.get_size_inches().tolist() == [4.5, 3.1]
