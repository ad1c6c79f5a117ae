from typing import Any

import pandas as pd
import pytest

from analysis.report.collect import Collected, collect, grids_of
from analysis.report.content import content
from analysis.report.page import Content
from analysis.report.prepare import check_against_runs
from analysis.report.request import AnalysisRequest
from tests.analysis.synthetic import curve, frame, run


def content_of(runs: pd.DataFrame, **request: Any) -> tuple[Content, Collected]:
    prepared = check_against_runs(AnalysisRequest(("one", "two"), **request), runs)
    collected = collect(prepared, None, grids_of(prepared))
    return content(prepared, collected), collected


def test_the_page_is_of_all_used_runs_and_experiments() -> None:
    runs = [
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7]),
        run("ft", edit_success=1.0),
        run("ft | wanda | lora", level=0.25, edit_success=0.1),
    ]
    page, _ = content_of(frame(runs))
    assert page.title == "one, two"
    assert set(page.runs.run_id) == {entry["run_id"] for entry in runs[:-1]}
    assert page.left_out
    assert page.missing == [
        "FT + Wanda (model=m, data=d): wanda was not run alone with the seeds and batches of both"
        " orders."
    ]


@pytest.mark.parametrize(("error", "words"), [("best", "the better"), ("worst", "the worse")])
def test_the_page_says_how_the_error_is_taken(error: str, words: str) -> None:
    page, _ = content_of(frame(curve("ft", "wanda", [0.25], [0.9], [0.8])), error=error)
    assert f"1 - {words} of the two orders" in page.error_words


def test_the_page_says_what_intervals_are_over() -> None:
    single = curve("ft", "wanda", [0.25], [0.9], [0.8])
    assert content_of(frame(single))[0].over == "none here: one run of each order, no items"
    replicated = []
    for batch in range(5):
        replicated += curve("ft", "wanda", [0.25], [0.9 + batch / 99], [0.8], edit_batch=batch)
    assert content_of(frame(replicated))[0].over == "over edit batches"


def test_areas_are_in_the_order_of_the_paper_and_link_to_all_runs_of_their_curve() -> None:
    runs = []
    for partner in ("gptq", "awq"):
        runs += curve("lora", partner, [4, 8], [0.9, 0.8], [0.8, 0.7], mmlu=0.5)
    runs += curve("ft", "gptq", [4, 8], [0.9, 0.8], [0.8, 0.7])
    page, collected = content_of(frame(runs))
    values = page.areas.values
    assert list(values.index) == ["FT + GPTQ"] + ["LoRA + AWQ"] * 2 + ["LoRA + GPTQ"] * 2
    assert list(values.Criterion[1:3]) == ["Edit success ↑", "MMLU ↑"]
    assert values["As written"].iloc[0] == "0.850"
    assert values["Order sensitivity"].iloc[0] == "0.100"
    linked: Any = page.areas.runs["As written"].iloc[0]
    assert set(linked) == {entry["run_id"] for entry in runs[-4:]}
    assert len(collected.areas) == 5


def test_a_context_stands_behind_a_pair_where_there_are_several() -> None:
    runs = []
    for model in ("a", "b"):
        runs += curve("ft", "gptq", [4, 8], [0.9, 0.8], [0.8, 0.7], model=model)
    page, _ = content_of(frame(runs))
    assert set(page.areas.values.index) == {
        "FT + GPTQ; model=a, data=d",
        "FT + GPTQ; model=b, data=d",
    }


def test_levels_leave_out_empty_columns_and_link_their_numbers() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.75])
    page, _ = content_of(frame(runs))
    first, second = page.levels.values.to_dict("records")
    assert (first["Ahead"], first["Level"], first["Score"]) == (
        "FT → Wanda",
        "sparsity 0.25",
        "0.100",
    )
    assert second["Score"] == "0.050"
    assert "95% interval" not in first and "p" not in first
    links = page.levels.runs.iloc[0]
    assert set(links["Score"]) == {entry["run_id"] for entry in runs[:2]}
    assert not isinstance(links["Ahead"], tuple)


def test_an_order_that_gains_nothing_is_neither() -> None:
    page, _ = content_of(frame(curve("ft", "wanda", [0.25], [0.8], [0.8])))
    assert page.levels.values["Ahead"].tolist() == ["neither"]


def test_comparisons_have_interval_noise_floor_and_both_corrections() -> None:
    runs = []
    for batch, value in enumerate([0.5, 0.6, 0.7, 0.8, 0.9]):
        backward = value - (0.1 if batch else 0.3)
        values = {"mmlu": 0.5 + value / 10, "edit_locality": value / 2}
        runs += curve("ft", "wanda", [0.25], [value], [backward], edit_batch=batch, **values)
    page, collected = content_of(frame(runs))
    edits, ability = page.comparisons.values.to_dict("records")
    point = collected.points[collected.points.criterion == "edit_success"].iloc[0]
    assert edits["Criterion"] == "Edit success ↑" and ability["Criterion"] == "MMLU ↑"
    assert edits["95% interval"] == f"{point.gain_low:.3f} to {point.gain_high:.3f}"
    assert edits["|Difference|"] == "0.140" and edits["Noise floor"] == f"{point.noise_floor:.3f}"
    assert edits["p (Holm)"] == f"{point.p_holm:.3f}" and edits["q (BH)"] == f"{point.q:.3f}"
    assert ability["p (Holm)"] == "–"
    assert (edits["Units"], edits["Over"]) == ("5", "edit batches")


def test_what_found_no_place_in_a_figure_is_a_note() -> None:
    runs = []
    for rate in range(13):
        runs += curve("ft", "wanda", [0.25], [0.9], [0.8], **{"ft.lr": float(rate + 1)})
    page, _ = content_of(frame(runs))
    assert any("1 more columns found no place" in note for note in page.notes)
    assert len(page.notes) == 3


def test_criteria_of_areas_are_in_the_catalogues_order() -> None:
    runs = curve("ft", "gptq", [4, 8], [0.9, 0.8], [0.8, 0.7], edit_locality=0.5, mmlu=0.5)
    page, _ = content_of(frame(runs), criteria=("mmlu", "edit_locality", "edit_success"))
    expected = ["Edit success ↑", "Locality ↑", "MMLU ↑"]
    assert page.areas.values.Criterion.tolist() == expected


def test_no_cell_of_the_reports_own_tables_is_marked_as_the_best() -> None:
    page, _ = content_of(frame(curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7])))
    for block in (page.areas, page.levels, page.comparisons):
        assert block.best.shape == block.values.shape and not block.best.to_numpy().any()
