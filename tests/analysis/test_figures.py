import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.metrics.align import both_orders
from analysis.plots import curves, figures, heat, interactive
from tests.analysis.synthetic import curve, frame, run


def grids(runs: pd.DataFrame) -> tuple[dict[str, curves.PanelGrid], Labels]:
    orders = both_orders(runs)
    return {grid.name: grid for grid in curves.grids(orders, co.point(runs))}, Labels(
        orders.catalogue
    )


def drawn_text(figure: Any) -> list[str]:
    return [
        text.get_text()
        for axis in figure.axes
        for text in (axis.title, axis.xaxis.label, axis.yaxis.label)
    ]


def test_figures_2_and_3_have_the_papers_panels(published: pd.DataFrame) -> None:
    made, _ = grids(published)
    two, three = made["figure2"], made["figure3"]
    assert two.rows == ["edit_success", "edit_generalization", "edit_locality", "mmlu"]
    assert two.columns == ["FT", "MEMIT", "LoRA"] * 2
    assert [two.panels[0, j].strength for j in range(6)] == ["sparsity"] * 3 + ["bits"] * 3
    assert (three.rows, three.columns) == (["wmdp", "mmlu"], ["GA", "GD", "RMU"] * 2)
    assert [curve.title for curve in two.panels[0, 0].curves] == ["Wanda", "SparseGPT"]


def test_a_panel_has_the_published_values_and_baselines(published: pd.DataFrame) -> None:
    made, _ = grids(published)
    panel = made["figure2"].panels[0, 0]  # edit success of FT
    wanda = panel.curves[0]
    assert wanda.levels.tolist() == [0.25, 0.35, 0.45, 0.55, 0.65, 0.75]
    assert wanda.forward.tolist() == [0.96, 0.88, 0.65, 0.31, 0.08, 0.02]  # paper, Table 9
    assert wanda.backward.tolist() == [0.99, 0.97, 0.94, 0.80, 0.50, 0.05]  # paper, Table 10
    assert wanda.alone.tolist() == [0.02] * 6  # paper, Table 8
    assert panel.uncompressed == 0.99  # paper, Table 8


def test_axes_have_units_and_directions(published: pd.DataFrame) -> None:
    made, titles = grids(published)
    text = drawn_text(figures.draw(made["figure2"], titles))
    for label in ("Edit success (F1) ↑", "MMLU (accuracy) ↑", "Sparsity", "Bits", "MEMIT"):
        assert label in text
    assert "WikiText perplexity ↓" in drawn_text(figures.draw(made["perplexity-editing"], titles))
    layout = interactive.figure(made["figure2"], titles).layout
    assert (layout.yaxis.title.text, layout.xaxis19.title.text) == (
        "Edit success (F1) ↑",
        "Sparsity",
    )


def test_methods_have_colours_of_okabe_and_ito_that_differ(published: pd.DataFrame) -> None:
    chosen = curves.colours(grids(published)[0]["figure2"])
    assert len(set(chosen.values())) == 4
    assert set(chosen.values()) <= set(curves.PALETTE)


def as_a_dichromat_sees(colour: str) -> np.ndarray:
    """Deuteranopia, Machado, Oliveira and Fernandes 2009, table of severity 1.0, on linear RGB."""
    linear = np.array(
        [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    )
    matrix = [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
    return np.asarray(np.array(matrix) @ linear)


def test_the_papers_four_compressions_differ_without_green_cones(published: pd.DataFrame) -> None:
    seen = [
        as_a_dichromat_sees(colour)
        for colour in curves.colours(grids(published)[0]["figure2"]).values()
    ]
    distances = [np.linalg.norm(one - other) for i, one in enumerate(seen) for other in seen[:i]]
    assert min(distances) > 0.15


NASTY = {
    "infinite": [math.inf, 9.0, math.inf], "all infinite": [math.inf] * 3, "one order missing": [9.0, 8.0, math.nan],
    "huge": [5.0, 1e30, 1e36],
}  # fmt: skip


@pytest.mark.parametrize("values", NASTY.values(), ids=NASTY)
def test_figures_survive_values_that_cannot_be_drawn(values: list[float], tmp_path: Path) -> None:
    runs = curve("ga", "awq", [2, 4, 8], values, [8.0, math.inf, 7.0], criterion="wikitext_ppl")
    runs = [made for made in runs if made["wikitext_ppl"] == made["wikitext_ppl"]]
    table = frame([*runs, run("ga", wikitext_ppl=math.inf), run("awq", level=2, wikitext_ppl=1e6)])
    made, titles = grids(table)
    grid = made["perplexity-unlearning"]
    png = figures.save(figures.draw(grid, titles), tmp_path / "figure.png").read_bytes()
    assert png.startswith(b"\x89PNG") and len(png) > 10_000
    text = interactive.figure(grid, titles).to_json()
    assert json.loads(text)["data"]
    assert "Infinity" not in text and "NaN" not in text


def test_infinite_values_are_marked(published: pd.DataFrame) -> None:
    made, titles = grids(published)
    axis: Any = figures.draw(made["perplexity-unlearning"], titles).axes[
        0
    ]  # GA and sparsity: infinite but once
    assert (
        sum(len(line.get_xdata()) for line in axis.lines if line.get_marker() == "^")
        == 2 * 2 * 7 - 1
    )
    traces = interactive.figure(made["perplexity-unlearning"], titles).data
    marked = sum(
        len(t.x)
        for t in traces
        if t.xaxis == "x" and str(t.marker.symbol or "").startswith("triangle")
    )
    assert marked == 2 * 2 * 7 - 1


def test_the_area_between_the_orders_is_shaded(published: pd.DataFrame) -> None:
    made, titles = grids(published)
    axis: Any = figures.draw(made["figure2"], titles).axes[0]
    vertices = axis.collections[0].get_paths()[0].vertices
    assert vertices[:, 1].min() == pytest.approx(0.02) and vertices[:, 1].max() == pytest.approx(
        0.99
    )


def test_a_sweep_of_hyperparameters_does_not_make_an_endless_figure() -> None:
    runs = [
        made
        for rate in range(15)
        for made in curve(
            "ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7], **{"ft.lr": float(rate + 1)}
        )
    ]
    made, _ = grids(frame(runs))
    assert (len(made["figure2"].columns), made["figure2"].dropped) == (12, 3)


def test_a_third_partys_strength_has_an_axis_of_its_own() -> None:
    from tests.analysis.test_points import third_party

    runs = [run(order, **third_party(edit_success=0.9, **{"shrink.ratio": ratio}))
            for ratio in (0.1, 0.2) for order in ("ft | shrink", "shrink | ft")]  # fmt: skip
    made, titles = grids(frame(runs))
    assert "Ratio" in drawn_text(figures.draw(made["figure2"], titles))


# the heat map


def test_the_heat_map_is_symmetric_and_shows_areas_or_single_values(
    published: pd.DataFrame, tmp_path: Path
) -> None:
    points, titles = co.point(published), Labels(both_orders(published).catalogue)
    areas = co.area(points)
    (made,) = heat.heats(points, areas, titles)
    assert made.methods == [
        "FT",
        "MEMIT",
        "LoRA",
        "GA",
        "GD",
        "RMU",
        "Wanda",
        "SparseGPT",
        "AWQ",
        "GPTQ",
    ]
    assert made.criteria == ["edit_success", "edit_generalization", "edit_locality", "wmdp", "mmlu"]
    values = made.values["edit_success"]
    np.testing.assert_array_equal(values, values.T)
    assert values[0, 4] == pytest.approx(0.67)  # FT and GD: 0.99 and 0.32, paper, Tables 13 and 14
    swept = areas[
        (areas.intervention == "ft")
        & (areas.partner == "wanda")
        & (areas.criterion == "edit_success")
    ]
    assert values[0, 6] == swept.order_sensitivity.item()
    assert np.isnan(values[:3, :3]).all()
    figure = figures.draw_heat(made, titles)
    assert figures.save(figure, tmp_path / "heat.png").stat().st_size > 10_000
    assert "NaN" not in interactive.heat_map(made, titles).to_json()


def test_a_sweep_of_hyperparameters_does_not_make_an_endless_heat_map() -> None:
    runs = [
        made
        for rate in range(40)
        for made in curve(
            "ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7], **{"ft.lr": float(rate + 1)}
        )
    ]
    points = co.point(frame(runs))
    (made,) = heat.heats(points, co.area(points), Labels(both_orders(frame(runs)).catalogue))
    assert (len(made.methods), made.dropped) == (13, 28)  # 12 of 40 variants, and Wanda
    assert made.methods[-1] == "Wanda"
