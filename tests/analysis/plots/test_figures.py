import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.plots import figures
from tests.analysis.plots.golden import described, stored
from tests.analysis.plots.hand_made import TITLES, panel_grid
from tests.analysis.plots.panel_grids import drawn_text, panel_grids, titles_of
from tests.analysis.synthetic import curve, frame, run, third_party

UNDRAWABLE = {
    "infinite": [math.inf, 9.0, math.inf],
    "all infinite": [math.inf] * 3,
    "one order missing": [9.0, 8.0, math.nan],
    "huge": [5.0, 1e30, 1e36],
}


def drawn(runs: pd.DataFrame, name: str) -> Any:
    return figures.draw(panel_grids(runs)[name], titles_of(runs))


@pytest.fixture(scope="module")
def paper_figures(published: pd.DataFrame) -> dict[str, Any]:
    """The figures of the paper's runs, each drawn once."""
    names = ("figure2", "figure3", "perplexity-editing", "perplexity-unlearning")
    return {name: drawn(published, name) for name in names}


def test_axes_have_units_and_directions(paper_figures: dict[str, Any]) -> None:
    text = drawn_text(paper_figures["figure2"])
    for label in ("Edit success (F1) ↑", "MMLU (accuracy) ↑", "Sparsity", "Bits", "MEMIT"):
        assert label in text
    assert "WikiText perplexity ↓" in drawn_text(paper_figures["perplexity-editing"])


def test_titles_are_on_top_and_levels_at_the_bottom(paper_figures: dict[str, Any]) -> None:
    axes: Any = paper_figures["figure2"].axes
    assert [axis.get_title() for axis in axes[:6]] == ["FT", "MEMIT", "LoRA"] * 2
    assert [axis.get_title() for axis in axes[6:]] == [""] * 18
    assert [axis.get_xlabel() for axis in axes[:18]] == [""] * 18
    assert [bool(axis.get_ylabel()) for axis in axes[:7]] == [True] + [False] * 5 + [True]


def test_levels_are_drawn_as_they_are_integrated_and_perplexity_too(
    paper_figures: dict[str, Any],
) -> None:
    axes: Any = paper_figures["figure2"].axes
    assert (axes[0].get_xscale(), axes[3].get_xscale()) == ("linear", "linear")
    assert axes[3].get_xlim() == pytest.approx((2 - 0.56, 16 + 0.56))
    assert axes[0].get_yscale() == "linear"
    assert paper_figures["perplexity-editing"].axes[0].get_yscale() == "log"


def test_the_chance_level_is_drawn_where_there_is_one(paper_figures: dict[str, Any]) -> None:
    axes: Any = paper_figures["figure3"].axes
    assert 0.25 in [line.get_ydata()[0] for line in axes[0].lines]
    labels = [text.get_text() for text in paper_figures["figure3"].legends[0].get_texts()]
    assert "chance" in labels and "unlearn, then compress" in labels
    labels = [text.get_text() for text in paper_figures["perplexity-editing"].legends[0].texts]
    assert "chance" not in labels and "edit, then compress" in labels


@pytest.mark.parametrize("values", UNDRAWABLE.values(), ids=UNDRAWABLE)
def test_a_figure_survives_values_that_cannot_be_drawn(values: list[float], tmp_path: Path) -> None:
    runs = curve("ga", "awq", [2, 4, 8], values, [8.0, math.inf, 7.0], criterion="wikitext_ppl")
    measured = [entry for entry in runs if not math.isnan(entry["wikitext_ppl"])]
    alone = [run("ga", wikitext_ppl=math.inf), run("awq", level=2, wikitext_ppl=1e6)]
    figure = drawn(frame([*measured, *alone]), "perplexity-unlearning")
    png = figures.save_figure(figure, tmp_path / "folder" / "figure.png").read_bytes()
    assert png.startswith(b"\x89PNG") and len(png) > 10_000


def triangles(axis: Any) -> list[Any]:
    return [line for line in axis.lines if line.get_marker() == "^"]


def test_infinite_values_are_marked(paper_figures: dict[str, Any]) -> None:
    figure = paper_figures["perplexity-unlearning"]
    marked = triangles(figure.axes[0])  # GA and sparsity: infinite but once
    assert sum(len(line.get_xdata()) for line in marked) == 2 * 2 * 7 - 1
    heights = [line.get_ydata()[0] for line in marked]
    assert heights == pytest.approx([0.95, 0.88, 0.81, 0.74])
    assert [line.get_markerfacecolor() == "white" for line in marked] == [False, True] * 2
    assert "infinite" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_area_between_the_orders_is_shaded(paper_figures: dict[str, Any]) -> None:
    axis: Any = paper_figures["figure2"].axes[0]
    vertices = axis.collections[0].get_paths()[0].vertices
    assert vertices[:, 1].min() == pytest.approx(0.02)
    assert vertices[:, 1].max() == pytest.approx(0.99)


def test_the_orders_are_solid_and_dashed_and_the_compression_alone_is_dotted() -> None:
    runs = [
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6]),
        run("wanda", level=0.25, edit_success=0.1),
    ]
    axis: Any = drawn(frame(runs), "figure2").axes[0]
    lines = {line.get_linestyle(): line.get_ydata().tolist() for line in axis.lines}
    assert lines == {"-": [0.9, 0.7], "--": [0.8, 0.6], ":": [0.1]}


def test_a_third_partys_strength_has_an_axis_of_its_own() -> None:
    runs = []
    for ratio in (0.1, 0.2):
        columns = third_party(edit_success=0.9, **{"shrink.ratio": ratio})
        runs += [run(steps, **columns) for steps in ("ft | shrink", "shrink | ft")]
    assert "Ratio" in drawn_text(drawn(frame(runs), "figure2"))


def test_curves_of_hand_made_panels_look_as_stored() -> None:
    assert described("figures") == stored("figures")


def test_a_legend_has_at_most_five_columns() -> None:
    wide = replace(panel_grid(), rows=["mmlu"], columns=["a", "b", "c", "d"], panels={})
    legend: Any = figures.draw(wide, TITLES).legends[0]
    assert legend._ncols == 5


@pytest.mark.parametrize(("criterion", "is_in_legend"), [("mmlu", True), ("wikitext_ppl", False)])
def test_chance_is_in_the_legend_where_a_row_has_one(criterion: str, is_in_legend: bool) -> None:
    grid = replace(panel_grid(), rows=[criterion], panels={})
    (legend,) = figures.draw(grid, TITLES).legends
    assert ("chance" in [text.get_text() for text in legend.get_texts()]) == is_in_legend


def test_a_picture_has_160_dots_per_inch_in_a_folder_that_may_be_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "figure.png"
    for inches in (1, 2):
        assert figures.save_figure(Figure(figsize=(inches, 1)), path) == path
        header = path.read_bytes()[16:24]
        assert [int.from_bytes(header[:4]), int.from_bytes(header[4:])] == [inches * 160, 160]


def test_a_picture_whose_names_leave_no_room_is_drawn_without_its_layout(tmp_path: Path) -> None:
    figure = Figure(figsize=(1, 1), layout="constrained")
    figure.subplots().set_ylabel("a name\n" * 50)
    assert figures.save_figure(figure, tmp_path / "figure.png").is_file()
