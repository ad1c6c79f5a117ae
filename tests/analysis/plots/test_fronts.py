from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.labels import Labels
from analysis.plots.front_figure import draw_fronts
from analysis.plots.fronts import FrontGrid, front_grids
from analysis.plots.interactive_fronts import draw_front_panels
from tracking.catalogue import Catalogue

TITLES = Labels(Catalogue())
PAIR = pd.Series(
    {
        "intervention": "ft", "partner": "wanda", "intervention_variant": "",
        "partner_variant": "", "context": "model=m",
    }
)  # fmt: skip
SETTINGS = pd.DataFrame(
    {
        "order": ["ft → wanda"] * 2 + ["wanda → ft"] * 2,
        "strength": "wanda.sparsity",
        "level": [0.25, 0.5, 0.25, 0.5],
        "average_bits": [12.0, 8.0, 12.0, 8.0],
        "edit_success": [0.9, 0.5, 0.8, 0.6],
    }
)
CRITERIA = {"edit_success": "editing", "wmdp": "unlearning", "mmlu": ""}


def grids(*pairs: tuple[pd.Series, pd.DataFrame]) -> list[FrontGrid]:
    return front_grids(pairs, CRITERIA, TITLES)


def test_a_setting_is_on_the_front_if_none_is_smaller_and_better() -> None:
    (grid,) = grids((PAIR, SETTINGS))
    (front,) = grid.fronts
    assert grid.dropped == 0
    assert (grid.name, grid.size, grid.quality) == (
        "pareto-edit-success",
        "average_bits",
        "edit_success",
    )
    assert front.is_best.tolist() == [True, False, False, True]
    assert front.levels == ["sparsity 0.25", "sparsity 0.5"] * 2
    assert front.title == "FT + Wanda" and set(front.orders) == {"FT → Wanda", "Wanda → FT"}


def test_where_lower_is_better_the_lowest_is_on_the_front() -> None:
    settings = SETTINGS.rename(columns={"edit_success": "wmdp"})
    (grid,) = grids((PAIR.replace({"ft": "rmu"}), settings))
    assert grid.fronts[0].is_best.tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("sizes", "qualities", "is_best"),
    [
        ([12.0, 8.0, 8.0, 9.0], [0.6, 0.6, 0.6, 0.5], [False, True, True, False]),
        ([12.0, 8.0, 12.0, 7.0], [0.7, 0.6, 0.8, 0.6], [False, False, True, True]),
    ],
    ids=["as good and larger", "as large and worse"],
)
def test_equal_settings_are_on_the_front_together(
    sizes: list[float], qualities: list[float], is_best: list[bool]
) -> None:
    (grid,) = grids((PAIR, SETTINGS.assign(average_bits=sizes, edit_success=qualities)))
    assert grid.fronts[0].is_best.tolist() == is_best


@pytest.mark.parametrize(
    "changed",
    [{"average_bits": 8.0}, {"edit_success": np.nan}, {"average_bits": np.inf}],
    ids=["one size", "not measured", "infinite"],
)
def test_there_is_no_front_without_two_sizes(changed: dict[str, Any]) -> None:
    assert grids((PAIR, SETTINGS.assign(**changed))) == []


def test_general_ability_is_drawn_for_every_pair() -> None:
    drawn = grids((PAIR, SETTINGS.assign(mmlu=[0.6, 0.5, 0.6, 0.4], wmdp=0.5)))
    assert [grid.quality for grid in drawn] == ["edit_success", "mmlu"]


def test_pairs_without_a_compression_have_none() -> None:
    assert grids((PAIR.replace({"wanda": "rmu"}), SETTINGS)) == []


def test_contexts_have_figures_of_their_own_and_panels_are_limited() -> None:
    other = PAIR.replace({"model=m": "model=n"})
    assert len({grid.name for grid in grids((PAIR, SETTINGS), (other, SETTINGS))}) == 2
    (many,) = grids(*[(PAIR, SETTINGS)] * 14)
    assert (len(many.fronts), many.dropped) == (12, 2)


def test_it_is_drawn_as_png_and_with_plotly() -> None:
    (grid,) = grids((PAIR, SETTINGS))
    axis = draw_fronts(grid, TITLES).axes[0]
    assert axis.get_title() == "FT + Wanda" and axis.get_xlabel() == "Average bits ↓"
    line = axis.lines[-1]
    assert np.array(line.get_xydata()).tolist() == [[8.0, 0.6], [12.0, 0.9]]
    figure = draw_front_panels(grid, TITLES)
    assert [len(trace.x) for trace in figure.data] == [2, 2, 2]
    assert "sparsity 0.25: 0.900" in figure.data[1].hovertemplate[0]
