from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.metrics import composability as co
from analysis.plots import figures, heat
from analysis.plots.heat_figure import draw_heat
from analysis.plots.interactive_heat import draw_heat_map
from tests.analysis.plots.panel_grids import titles_of
from tests.analysis.synthetic import curve, frame, run


def heats_of(runs: pd.DataFrame) -> list[heat.Heat]:
    points = co.point(runs)
    return heat.heats(points, co.area(points), titles_of(runs))


def test_the_heat_map_is_symmetric_and_shows_areas_or_single_values(
    published: pd.DataFrame,
) -> None:
    (matrices,) = heats_of(published)
    methods = "FT MEMIT LoRA GA GD RMU Wanda SparseGPT AWQ GPTQ"
    assert matrices.methods == methods.split()
    criteria = ["edit_success", "edit_generalization", "edit_locality", "wmdp", "mmlu"]
    assert matrices.criteria == criteria
    values = matrices.values["edit_success"]
    np.testing.assert_array_equal(values, values.T)
    assert values[0, 4] == pytest.approx(0.67)  # FT and GD: 0.99 and 0.32, paper, Tables 13, 14
    areas = co.area(co.point(published)).set_index(["intervention", "partner", "criterion"])
    assert values[0, 6] == areas.loc[("ft", "wanda", "edit_success"), "order_sensitivity"]
    assert np.isnan(values[:3, :3]).all()


def test_the_colour_scale_ends_at_the_largest_value() -> None:
    runs = [run("ft | rmu", edit_success=0.9), run("rmu | ft", edit_success=0.6)]
    (matrices,) = heats_of(frame(runs))
    assert matrices.most == pytest.approx(0.3)
    equal = [run("ft | rmu", edit_success=0.9), run("rmu | ft", edit_success=0.9)]
    (matrices,) = heats_of(frame(equal))
    assert matrices.most == 1.0


def test_one_scale_is_of_all_criteria_and_of_finite_values_only() -> None:
    runs = [
        run("ft | rmu", edit_success=0.9, mmlu=0.5),
        run("rmu | ft", edit_success=0.6, mmlu=0.4),
    ]
    points = co.point(frame(runs))
    for changed, most in ((points, 0.3), (points.assign(order_sensitivity=np.inf), 1.0)):
        (matrices,) = heat.heats(changed, co.area(points), titles_of(frame(runs)))
        assert matrices.most == pytest.approx(most)


def test_methods_are_by_group_in_the_papers_order_whatever_was_run_first() -> None:
    pairs = (("lora", "awq"), ("lora", "rmu"), ("memit", "ga"), ("ft", "rmu"), ("ft", "wanda"))
    runs = []
    for first, second in pairs:
        runs += [run(f"{first} | {second}", edit_success=0.9)]
        runs += [run(f"{second} | {first}", edit_success=0.8)]
    (matrices,) = heats_of(frame(runs))
    assert matrices.methods == ["FT", "MEMIT", "LoRA", "GA", "RMU", "Wanda", "AWQ"]


@pytest.mark.parametrize(("variants", "shown"), [(23, 24), (24, 13)])
def test_variants_are_left_out_from_25_methods_on(variants: int, shown: int) -> None:
    """All interventions have as many then: 12 of the 24 variants of FT, and the only one of RMU."""
    runs = [
        run(steps, edit_success=0.5, **{"ft.lr": float(rate + 1)})
        for rate in range(variants)
        for steps in ("ft | rmu", "rmu | ft")
    ]
    (matrices,) = heats_of(frame(runs))
    assert (len(matrices.methods), matrices.dropped) == (shown, variants + 1 - shown)


def test_the_drawn_colours_go_from_none_to_the_largest_value() -> None:
    runs = [run("ft | rmu", edit_success=0.9), run("rmu | ft", edit_success=0.6)]
    (matrices,) = heats_of(frame(runs))
    (image,) = draw_heat(matrices, titles_of(frame(runs))).axes[0].images
    least, most = image.get_clim()
    assert least == 0.0 and most == pytest.approx(0.3)


def test_criteria_on_other_scales_have_no_matrix() -> None:
    runs = [
        run("ft | rmu", edit_success=0.9, wikitext_ppl=9.0, sparsity=0.1),
        run("rmu | ft", edit_success=0.6, wikitext_ppl=8.0, sparsity=0.2),
    ]
    (matrices,) = heats_of(frame(runs))
    assert matrices.criteria == ["edit_success"]


def test_every_context_has_a_heat_map_of_its_own() -> None:
    runs = []
    for model in ("a", "b"):
        runs += [run(steps, model=model, edit_success=0.5) for steps in ("ft | rmu", "rmu | ft")]
    names = [matrices.name for matrices in heats_of(frame(runs))]
    assert names == ["order-sensitivity-model-a-data-d", "order-sensitivity-model-b-data-d"]


def test_a_sweep_of_hyperparameters_does_not_make_an_endless_heat_map() -> None:
    runs = []
    for rate in range(40):
        settings = {"ft.lr": float(rate + 1)}
        runs += curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7], **settings)
    (matrices,) = heats_of(frame(runs))
    assert (len(matrices.methods), matrices.dropped) == (13, 28)  # 12 of 40 variants, and Wanda
    assert matrices.methods[-1] == "Wanda"


def test_every_intervention_keeps_a_variant_where_all_of_them_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heat, "MOST_METHODS", 3)
    runs = [
        run(spec, edit_success=0.9, **{"ft.steps": steps})
        for steps in (5, 10)
        for spec in ("ft | rmu", "rmu | ft", "ft | wanda", "wanda | ft")
    ]
    (matrices,) = heats_of(frame(runs))
    assert [name.split(" ")[0] for name in matrices.methods] == ["FT", "RMU", "Wanda"]
    assert matrices.dropped == 1


def test_it_is_drawn_as_png_and_with_plotly(published: pd.DataFrame, tmp_path: Path) -> None:
    (matrices,) = heats_of(published)
    titles = titles_of(published)
    figure = draw_heat(matrices, titles)
    shown = [axis.get_title() for axis in figure.axes[:5]]
    assert shown == [titles.criterion(name) for name in matrices.criteria]
    assert "0.67"[1:] in [text.get_text() for text in figure.axes[0].texts]
    assert figures.save_figure(figure, tmp_path / "heat.png").stat().st_size > 10_000
    interactive = draw_heat_map(matrices, titles)
    assert "NaN" not in interactive.to_json()
    assert [trace.xaxis for trace in interactive.data] == ["x", "x2", "x3", "x4", "x5"]
    assert interactive.data[0].text[0][4] == "0.67"
    assert interactive.data[0].text[0][0] == ""


def test_numbers_are_light_on_dark_cells_only() -> None:
    runs = [
        *(run(steps, edit_success=v) for steps, v in (("ft | rmu", 0.9), ("rmu | ft", 0.1))),
        *(run(steps, edit_success=v) for steps, v in (("ft | ga", 0.9), ("ga | ft", 0.8))),
    ]
    table = frame(runs)
    (matrices,) = heats_of(table)
    texts = draw_heat(matrices, titles_of(table)).axes[0].texts
    colours = {text.get_text(): text.get_color() for text in texts}
    assert colours == {".80": "white", ".10": "black"}
