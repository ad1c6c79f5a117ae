import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.plots.interactive import draw_curves, finite_or_none
from tests.analysis.plots.golden import described, stored
from tests.analysis.plots.hand_made import TITLES, hand_made_curve, panel_grid
from tests.analysis.plots.panel_grids import panel_grids, titles_of
from tests.analysis.plots.test_figures import UNDRAWABLE
from tests.analysis.synthetic import curve, frame, run


def drawn(runs: pd.DataFrame, name: str) -> Any:
    return draw_curves(panel_grids(runs)[name], titles_of(runs))


@pytest.fixture(scope="module")
def paper_figures(published: pd.DataFrame) -> dict[str, Any]:
    """The figures of the paper's runs, each drawn once."""
    names = ("figure2", "figure3", "perplexity-editing", "perplexity-unlearning")
    return {name: drawn(published, name) for name in names}


def test_axes_have_units_and_directions(paper_figures: dict[str, Any]) -> None:
    layout = paper_figures["figure2"].layout
    assert layout.yaxis.title.text == "Edit success (F1) ↑"
    assert layout.yaxis2.title.text is None
    assert layout.xaxis19.title.text == "Sparsity"  # 4 rows of 6: the last row begins at 19
    assert layout.xaxis.title.text is None


def test_levels_are_drawn_as_they_are_integrated_and_perplexity_too(
    paper_figures: dict[str, Any],
) -> None:
    layout = paper_figures["figure2"].layout
    assert (layout.xaxis.type, layout.xaxis4.type) == (None, None)
    assert layout.xaxis4.range == pytest.approx((2 - 0.56, 16 + 0.56))
    assert layout.xaxis.range == pytest.approx((-0.03, 0.78))
    assert layout.yaxis.type is None
    assert paper_figures["perplexity-editing"].layout.yaxis.type == "log"


def test_a_method_is_in_the_legend_once_and_switched_with_all_its_lines(
    paper_figures: dict[str, Any],
) -> None:
    traces = paper_figures["figure2"].data
    in_legend = [trace.name for trace in traces if trace.showlegend]
    assert in_legend == ["Wanda", "SparseGPT", "AWQ", "GPTQ"]
    assert all(trace.legendgroup == trace.name for trace in traces)


def test_a_line_says_its_order_level_and_value_on_hover(paper_figures: dict[str, Any]) -> None:
    forward, backward = paper_figures["figure2"].data[:2]
    assert forward.hovertemplate == "FT → Wanda<br>sparsity %{x}: %{customdata}<extra></extra>"
    assert backward.hovertemplate.startswith("Wanda → FT<br>")
    assert (forward.line.dash, backward.line.dash) == ("solid", "dash")
    assert forward.customdata[:2] == ("0.990", "0.960")
    assert (forward.marker.color, backward.marker.color) == (forward.line.color, "white")


def test_the_area_is_shaded_unless_a_value_is_infinite(paper_figures: dict[str, Any]) -> None:
    solid, dashed = paper_figures["figure2"].data[:2]
    assert (solid.fill, dashed.fill) == (None, "tonexty")
    assert dashed.fillcolor == "rgba(230, 159, 0, 0.25)"
    assert paper_figures["perplexity-unlearning"].data[1].fill is None


def test_infinite_values_are_marked_above_all_others(paper_figures: dict[str, Any]) -> None:
    traces = paper_figures["perplexity-unlearning"].data
    marked = [
        trace
        for trace in traces
        if trace.xaxis == "x" and str(trace.marker.symbol or "").startswith("triangle")
    ]
    assert sum(len(trace.x) for trace in marked) == 2 * 2 * 7 - 1
    assert len({trace.y[0] for trace in marked}) == 4
    finite = [value for trace in traces if trace.mode == "lines" for value in trace.y if value]
    assert min(trace.y[0] for trace in marked) > max(finite)


@pytest.mark.parametrize("values", UNDRAWABLE.values(), ids=UNDRAWABLE)
def test_a_figure_with_values_that_json_cannot_hold_is_valid_json(values: list[float]) -> None:
    runs = curve("ga", "awq", [2, 4, 8], values, [8.0, math.inf, 7.0], criterion="wikitext_ppl")
    measured = [entry for entry in runs if not math.isnan(entry["wikitext_ppl"])]
    text = drawn(frame([*measured, run("ga", wikitext_ppl=math.inf)]), "perplexity-unlearning")
    text = text.to_json()
    assert json.loads(text)["data"]
    assert "Infinity" not in text and "NaN" not in text


def test_a_gap_stands_for_an_infinite_or_missing_value() -> None:
    values = np.array([1.0, math.inf, -math.inf, math.nan])
    assert finite_or_none(values) == [1.0, None, None, None]


def test_curves_of_hand_made_panels_look_as_stored() -> None:
    assert described("interactive") == stored("interactive")


@pytest.mark.parametrize(("values", "low", "high"), [([], 1.0, 10.0), ([8.0], 8.0, 8.8)])
def test_triangles_stand_above_an_axis_of_no_or_one_value(
    values: list[float], low: float, high: float
) -> None:
    """An axis of no value goes from 1 to 10; one of a single value ends a tenth above it."""
    infinite = [math.inf] * 2
    endless = replace(
        hand_made_curve("gptq", "GPTQ", [4.0, 8.0], infinite, infinite), alone=np.array(values)
    )
    grid = panel_grid()
    panel = replace(grid.panels[1, 1], curves=[endless])
    *_, forward, backward = draw_curves(replace(grid, panels={(1, 1): panel}), TITLES).data
    assert list(forward.y) == pytest.approx([high * (high / low) ** 0.06] * 2)
    assert list(backward.y) == pytest.approx([high * (high / low) ** 0.12] * 2)
