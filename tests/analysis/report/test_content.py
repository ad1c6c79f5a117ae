from typing import Any

import pandas as pd
import pytest

from analysis.report.collect import Collected, collect
from analysis.report.content import content
from analysis.report.page import Content
from analysis.report.prepare import check_against_runs
from analysis.report.request import AnalysisRequest
from tests.analysis.synthetic import curve, frame, run


def content_of(runs: pd.DataFrame, **request: Any) -> tuple[Content, Collected]:
    prepared = check_against_runs(AnalysisRequest(("one", "two"), **request), runs)
    collected = collect(prepared, None)
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
    assert page.left_out and not page.missing


@pytest.mark.parametrize(("error", "words"), [("best", "the better"), ("worst", "the worse")])
def test_the_page_says_how_the_error_is_taken(error: str, words: str) -> None:
    page, _ = content_of(frame(curve("ft", "wanda", [0.25], [0.9], [0.8])), error=error)
    assert f"1 - {words} of the two orders" in page.error_words


def test_the_page_says_what_was_resampled() -> None:
    single = curve("ft", "wanda", [0.25], [0.9], [0.8])
    assert content_of(frame(single))[0].over.startswith("none here")
    replicated = []
    for batch in range(5):
        replicated += curve("ft", "wanda", [0.25], [0.9], [0.8], edit_batch=batch)
    assert content_of(frame(replicated))[0].over == "over edit batches and seeds"


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
    linked: Any = page.areas.runs.iloc[0, 0]
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


def test_the_order_to_choose_leaves_out_empty_columns_and_links_its_numbers() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7])
    page, _ = content_of(frame(runs))
    (values,) = page.order.values.to_dict("records")
    assert values["Better order"] == "FT → Wanda"
    assert (values["By"], values["Levels"]) == ("0.100", "2")
    assert "Sure" not in values and "95% interval" not in values
    links = page.order.runs.iloc[0]
    assert set(links["By"]) == {entry["run_id"] for entry in runs}
    assert not isinstance(links["Better order"], tuple)


def test_an_order_that_gains_nothing_is_neither() -> None:
    page, _ = content_of(frame(curve("ft", "wanda", [0.25], [0.8], [0.8])))
    assert page.order.values["Better order"].tolist() == ["neither"]


def test_what_found_no_place_in_a_figure_is_a_note() -> None:
    runs = []
    for rate in range(13):
        runs += curve("ft", "wanda", [0.25], [0.9], [0.8], **{"ft.lr": float(rate + 1)})
    page, _ = content_of(frame(runs))
    assert any("1 more columns found no place" in note for note in page.notes)
    assert len(page.notes) == 2


def test_the_order_to_choose_has_its_interval_and_certainty_where_it_was_resampled() -> None:
    runs = []
    for batch, value in enumerate([0.5, 0.6, 0.7, 0.8, 0.9]):
        backward = value - (0.1 if batch else 0.3)
        runs += curve("ft", "wanda", [0.25], [value], [backward], edit_batch=batch)
    page, collected = content_of(frame(runs))
    (row,) = page.order.values.to_dict("records")
    (order,) = collected.order.to_dict("records")
    assert order["low"] < order["high"]
    assert row["95% interval"] == f"{order['low']:.3f} to {order['high']:.3f}"
    assert row["Sure"] == ">99%"
    assert row["Resampled"] == "5 edit batches and seeds"


def test_criteria_of_areas_are_in_the_catalogues_order() -> None:
    runs = curve("ft", "gptq", [4, 8], [0.9, 0.8], [0.8, 0.7], edit_locality=0.5, mmlu=0.5)
    page, _ = content_of(frame(runs), criteria=("mmlu", "edit_locality", "edit_success"))
    expected = ["Edit success ↑", "Locality ↑", "MMLU ↑"]
    assert page.areas.values.Criterion.tolist() == expected


def test_no_cell_of_the_areas_or_of_the_order_to_choose_is_marked_as_the_best() -> None:
    page, _ = content_of(frame(curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7])))
    for block in (page.areas, page.order):
        assert block.best.shape == block.values.shape and not block.best.to_numpy().any()
