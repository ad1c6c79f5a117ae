import math

import numpy as np
import pandas as pd
import pytest

from analysis.metrics import composability as co
from analysis.metrics.align import both_orders
from analysis.plots import curves
from tests.analysis.plots.panel_grids import panel_grids
from tests.analysis.synthetic import curve, frame, run
from tracking.catalogue import InterventionFacts, as_tag


def test_figures_2_and_3_have_the_papers_panels(published: pd.DataFrame) -> None:
    figures = panel_grids(published)
    two, three = figures["figure2"], figures["figure3"]
    assert two.rows == ["edit_success", "edit_generalization", "edit_locality", "mmlu"]
    assert two.columns == ["FT", "MEMIT", "LoRA"] * 2
    assert [two.panels[0, j].strength for j in range(6)] == ["sparsity"] * 3 + ["bits"] * 3
    assert (three.rows, three.columns) == (["wmdp", "mmlu"], ["GA", "GD", "RMU"] * 2)
    assert [curve.title for curve in two.panels[0, 0].curves] == ["Wanda", "SparseGPT"]
    assert list(figures) == ["figure2", "figure3", "perplexity-editing", "perplexity-unlearning"]


def test_a_panel_has_the_published_values_and_baselines(published: pd.DataFrame) -> None:
    panel = panel_grids(published)["figure2"].panels[0, 0]  # edit success of FT
    wanda = panel.curves[0]
    assert wanda.levels.tolist() == [0.25, 0.35, 0.45, 0.55, 0.65, 0.75]
    assert wanda.forward.tolist() == [0.96, 0.88, 0.65, 0.31, 0.08, 0.02]  # paper, Table 9
    assert wanda.backward.tolist() == [0.99, 0.97, 0.94, 0.80, 0.50, 0.05]  # paper, Table 10
    assert wanda.alone.tolist() == [0.02] * 6  # paper, Table 8
    assert wanda.alone_levels.tolist() == wanda.levels.tolist()
    assert panel.uncompressed == 0.99  # paper, Table 8


def test_a_point_knows_the_runs_of_both_orders() -> None:
    runs = curve("ft", "wanda", [0.5, 0.25], [0.7, 0.9], [0.6, 0.8])
    (wanda,) = panel_grids(frame(runs))["figure2"].panels[0, 0].curves
    assert wanda.levels.tolist() == [0.25, 0.5]
    assert wanda.runs == [
        (runs[2]["run_id"], runs[3]["run_id"]),
        (runs[0]["run_id"], runs[1]["run_id"]),
    ]


def test_both_orders_end_in_the_intervention_alone_where_nothing_is_compressed() -> None:
    runs = [
        *curve("ft", "wanda", [0.5, 0.25], [0.7, 0.9], [0.6, 0.8]),
        *curve("ft", "awq", [4, 8], [0.5, 0.6], [0.4, 0.5]),
        run("ft", edit_success=1.0),
    ]
    grid = panel_grids(frame(runs))["figure2"]
    pruned, quantized = grid.panels[0, 0], grid.panels[0, 1]
    levels, forward, backward = pruned.with_common_end(pruned.curves[0])
    assert levels.tolist() == [0, 0.25, 0.5]
    assert (forward.tolist(), backward.tolist()) == ([1, 0.9, 0.7], [1, 0.8, 0.6])
    levels, forward, backward = quantized.with_common_end(quantized.curves[0])
    assert levels.tolist() == [4, 8, 16]
    assert (forward.tolist(), backward.tolist()) == ([0.5, 0.6, 1], [0.4, 0.5, 1])
    assert grid.level_range(pruned) == (0, 0.5)
    assert grid.level_range(quantized) == (4, 16)


def test_curves_are_in_the_papers_order_and_variants_by_title() -> None:
    runs = curve("ft", "sparsegpt", [0.25], [0.9], [0.8], **{"sparsegpt.samples": 64})
    for samples in (64, 128):
        runs += curve("ft", "wanda", [0.25], [0.9], [0.8], **{"wanda.samples": samples})
    drawn = panel_grids(frame(runs))["figure2"].panels[0, 0].curves
    titles = [drawn_curve.title for drawn_curve in drawn]
    assert titles == ["Wanda (samples=128)", "Wanda (samples=64)", "SparseGPT"]


def test_levels_rise_whatever_the_order_of_the_points() -> None:
    runs = frame(curve("ft", "wanda", [0.25, 0.5, 0.75], [0.9, 0.7, 0.3], [0.8, 0.6, 0.2]))
    points = co.point(runs)
    (grid,) = curves.grids(both_orders(runs), points.iloc[[1, 2, 0]])
    (pruned,) = grid.panels[0, 0].curves
    assert pruned.levels.tolist() == [0.25, 0.5, 0.75]
    assert pruned.forward.tolist() == [0.9, 0.7, 0.3]


def test_the_compression_alone_is_that_of_the_same_variant() -> None:
    runs = []
    for samples in (16.0, 32.0):
        columns = {"wanda.samples": samples}
        runs += curve("ft", "wanda", [0.25], [0.9], [0.8], **columns)
        runs.append(run("wanda", level=0.25, edit_success=samples / 100, **columns))
    pair = panel_grids(frame(runs))["figure2"].panels[0, 0].curves
    assert [curve.alone.tolist() for curve in pair] == [[0.16], [0.32]]


def test_a_criterion_that_is_no_share_is_logarithmic(published: pd.DataFrame) -> None:
    grid = panel_grids(published)["figure2"]
    assert grid.is_logarithmic("wikitext_ppl")
    assert not grid.is_logarithmic("edit_success") and not grid.is_logarithmic("mmlu")
    assert (grid.chance("mmlu"), grid.chance("edit_success")) == (0.25, None)


def test_curves_have_no_common_end_where_the_intervention_was_not_run_alone() -> None:
    runs = frame(curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6]))
    panel = panel_grids(runs)["figure2"].panels[0, 0]
    assert math.isnan(panel.uncompressed)
    assert panel.with_common_end(panel.curves[0])[0].tolist() == [0.25, 0.5]
    assert panel.curves[0].alone.tolist() == []


def test_the_intervention_alone_is_that_of_the_same_variant_and_context() -> None:
    runs = [
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6], **{"ft.lr": 1.0}),
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6], **{"ft.lr": 2.0}),
        run("ft", edit_success=0.1, **{"ft.lr": 1.0}),
        run("ft", edit_success=0.2, **{"ft.lr": 2.0}),
        run("ft", edit_success=0.3, model="another", **{"ft.lr": 1.0}),
    ]
    grid = panel_grids(frame(runs))["figure2"]
    assert grid.columns == ["FT (lr=1)", "FT (lr=2)"]
    assert [grid.panels[0, column].uncompressed for column in (0, 1)] == [0.1, 0.2]


def test_a_criterion_that_one_method_lacks_is_an_empty_panel() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8]),
        *curve("lora", "wanda", [0.25], [0.9], [0.8], mmlu=0.5),
    ]
    grid = panel_grids(frame(runs))["figure2"]
    assert grid.rows == ["edit_success", "mmlu"]
    panel = grid.panels[1, 0]
    assert (panel.curves, panel.strength, panel.group) == ([], "sparsity", "pruning")
    assert [curve.name for curve in grid.panels[1, 1].curves] == ["wanda"]
    assert np.isnan(panel.uncompressed)


def test_a_sweep_of_hyperparameters_does_not_make_an_endless_figure() -> None:
    runs = []
    for rate in range(15):
        settings = {"ft.lr": float(rate + 1)}
        runs += curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7], **settings)
    grid = panel_grids(frame(runs))["figure2"]
    assert (len(grid.columns), grid.dropped) == (12, 3)
    assert set(grid.panels) == {(0, column) for column in range(12)}


def test_every_context_has_figures_of_its_own() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8], model="a"),
        *curve("ft", "wanda", [0.25], [0.7], [0.6], model="b"),
    ]
    figures = panel_grids(frame(runs))
    assert set(figures) == {"figure2-model-a-data-d", "figure2-model-b-data-d"}
    grid = figures["figure2-model-b-data-d"]
    assert grid.caption == "Editing and compression; model=b, data=d"
    assert grid.panels[0, 0].curves[0].forward.tolist() == [0.7]


def test_pairs_without_a_compression_or_a_level_are_in_no_figure() -> None:
    pair = [run("ft | rmu", edit_success=0.9), run("rmu | ft", edit_success=0.8)]
    without_level = [run("ft | wanda", edit_success=0.9), run("wanda | ft", edit_success=0.8)]
    assert panel_grids(frame(pair)) == {}
    assert panel_grids(frame(without_level)) == {}


@pytest.mark.parametrize("group", ["", "distillation"])
def test_a_third_partys_compression_is_a_column_by_its_category(group: str) -> None:
    facts = InterventionFacts("Shrink", "compression", "ratio", group=group)
    tag = as_tag({"shrink": facts})
    runs = []
    for ratio in (0.1, 0.2):
        columns = {"shrink.ratio": ratio, "about_interventions": tag}
        runs += [
            run(steps, edit_success=0.9, **columns) for steps in ("ft | shrink", "shrink | ft")
        ]
    runs += curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6])
    grid = panel_grids(frame(runs))["figure2"]
    assert [grid.panels[0, column].strength for column in (0, 1)] == ["sparsity", "ratio"]
    assert grid.level_range(grid.panels[0, 1]) == (0.1, 0.2)
