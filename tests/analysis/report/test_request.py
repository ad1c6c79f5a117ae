import pytest

from analysis.report.request import AnalysisRequest, read_analysis_request
from interventions.errors import InvalidInput
from tracking.links import LOCAL_UI


def test_the_default_request_is_everything_at_the_papers_levels(local_store: str) -> None:
    assert read_analysis_request() == AnalysisRequest(("composability",))
    assert AnalysisRequest(("x",)).ui == LOCAL_UI == "http://127.0.0.1:5000"


def test_names_have_commas_between_and_are_read_once() -> None:
    request = read_analysis_request(" one,two, one ,", criteria="edit_success, mmlu,mmlu")
    assert request.experiments == ("one", "two")
    assert request.criteria == ("edit_success", "mmlu")


def test_levels_and_bounds_are_pairs_of_name_and_number() -> None:
    request = read_analysis_request(levels="sparsity=0.25, bits=4", bounds="mmlu = 0.4")
    assert request.levels == {"sparsity": 0.25, "bits": 4.0}
    assert request.bounds == {"mmlu": 0.4}
    assert (read_analysis_request().levels, read_analysis_request().bounds) == ({}, {})


def test_error_and_items_are_taken_as_they_are() -> None:
    request = read_analysis_request(error="worst", items="none")
    assert (request.error, request.items) == ("worst", "none")


def test_studies_are_true_or_false() -> None:
    assert read_analysis_request(studies="true").studies
    assert not read_analysis_request().studies
    with pytest.raises(InvalidInput, match="studies must be true or false, but got 'x'"):
        read_analysis_request(studies="x")


@pytest.mark.parametrize(
    ("parameter", "text", "message"),
    [
        ("experiment", " , ", "experiment must name at least one, but got ' , '"),
        ("levels", "0.25", "levels must be written like sparsity=0.25,bits=4, but got '0.25'"),
        ("levels", "bits=four", "levels must be written like .* but got 'bits=four'"),
        ("bounds", "mmlu>0.4", "bounds must be written like mmlu=0.4,wikitext_ppl=8, but got"),
        ("bounds", "mmlu=0.4,wikitext_ppl=inf", "bounds must be written like .* but got 'mmlu"),
        ("register", "a model\nand a line", "register "),
    ],
)
def test_what_cannot_be_read_is_refused_with_an_example(
    parameter: str, text: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_analysis_request(**{parameter: text})


@pytest.mark.parametrize(
    ("store_address", "ui", "expected"),
    [
        ("sqlite:////runs/mlflow.db", "auto", LOCAL_UI),
        ("postgresql://ada:secret@host/runs", "auto", LOCAL_UI),
        ("http://host:5001/", "auto", "http://host:5001"),
        ("https://ada:secret@host", "auto", "https://host"),
        ("http://host:5001", "http://other/", "http://other"),
    ],
)
def test_links_lead_to_the_stores_server_and_hold_no_password(
    store_address: str, ui: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_address)
    assert read_analysis_request(ui=ui).ui == expected
