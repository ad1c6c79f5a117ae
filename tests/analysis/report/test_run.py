"""The analysis as an MLflow run: what is logged, what is refused, what `mlflow run` makes of it."""

from pathlib import Path
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from analysis.report.answer import PairAnswer
from analysis.report.findings.evidence import Finding
from analysis.report.request import AnalysisRequest
from analysis.report.run import (
    _MOST_FINDINGS,
    LoggedAnalysis,
    _note,
    first_findings,
    read_output,
    run_analysis,
)
from interventions.errors import InvalidInput
from tests.analysis.report.command import analyze, reports
from tests.analysis.report.test_files import FIGURES, NUMBERS, TABLES
from tracking import schema, store

# making the grid takes over ten seconds
grid_is_needed = pytest.mark.full


@grid_is_needed
def test_the_files_are_the_runs_artifacts(analysed: Path, grid_uri: str) -> None:
    run = reports(grid_uri)[-1]
    downloaded = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, tracking_uri=grid_uri)
    folder = Path(downloaded)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == NUMBERS | TABLES | FIGURES


@grid_is_needed
def test_the_analysis_is_a_run_among_the_reports_with_the_findings_as_its_note(
    analysed: Path, grid_uri: str
) -> None:
    run = reports(grid_uri)[-1]
    assert (run.info.status, run.info.run_name) == ("FINISHED", "analysis of composability")
    assert run.data.params == {"experiment": "composability", "output": str(analysed)}
    note = run.data.tags[schema.NOTE]
    assert "- 1 pair of 2 interventions, 3 points" in note
    assert note.startswith("**")


@grid_is_needed
def test_the_command_says_where_the_run_and_its_report_are(
    grid: pd.DataFrame, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = {"items": "none", "criteria": "edit_success", "ui": "http://host:1/"}
    assert analyze(**options, output=str(tmp_path)) == 0
    run = reports(store.uri())[0]
    place = f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    answer, rest = capsys.readouterr().out.split("\n", 1)
    assert answer.startswith("FT + Wanda: ")
    assert rest == (
        f"run {run.info.run_id} in {store.uri()}; files in {tmp_path}\n"
        f"report: http://host:1/#/{place}/artifacts/report.html?workflowType=machine_learning\n"
    )


@grid_is_needed
def test_an_analysis_can_be_run_from_python(grid: pd.DataFrame) -> None:
    logged = run_analysis(AnalysisRequest(("composability",), ("edit_success",), items="none"))
    run = MlflowClient(store.uri()).get_run(logged.run_id)
    assert run.data.params == {"experiment": "composability"}
    assert logged.output is None
    assert logged.report.startswith("http://127.0.0.1:5000/#/experiments/")


def test_files_are_the_runs_artifacts_and_in_a_folder_only_if_one_was_named(
    local_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_page(prepared: object, folder: Path) -> SimpleNamespace:
        folder.mkdir()
        (folder / "report.html").write_text("a page")
        return SimpleNamespace(findings={"model m": [Finding("A fact.")]}, answers=[])

    monkeypatch.setattr("analysis.report.run.prepare_analysis", lambda request: None)
    monkeypatch.setattr("analysis.report.run.write_files", write_page)
    for output in (None, tmp_path / "new" / "folder"):
        logged = run_analysis(AnalysisRequest(("made up",)), output)
        assert logged.output == output
        artifacts = MlflowClient(local_store).list_artifacts(logged.run_id)
        assert [artifact.path for artifact in artifacts] == ["report.html"]
        run = MlflowClient(local_store).get_run(logged.run_id)
        assert run.data.tags[schema.NOTE] == "**model m**\n- A fact."
        assert run.info.run_name == "analysis of made up"
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["report.html"]


def test_the_note_has_a_list_of_findings_under_each_context() -> None:
    findings = {"model a": [Finding("One."), Finding("Two.")], "model b": [Finding("Three.")]}
    assert _note(findings) == "**model a**\n- One.\n- Two.\n**model b**\n- Three."


def test_pairs_beyond_the_first_are_counted_with_their_claims() -> None:
    answers = [
        PairAnswer(
            f"pair {number}",
            "yes",
            "either",
            "sure",
            claim=number in (0, _MOST_FINDINGS, _MOST_FINDINGS + 1),
        )
        for number in range(_MOST_FINDINGS + 3)
    ]
    assert len(first_findings(answers[:_MOST_FINDINGS])) == _MOST_FINDINGS
    *lines, rest = first_findings(answers)
    assert lines == first_findings(answers[:_MOST_FINDINGS])
    assert rest == "… and 3 more pairs, 2 with a claim about order"


def test_a_password_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ada:secret@host/runs")
    text = str(LoggedAnalysis("abc", "http://host/report"))
    assert text.startswith("run abc in postgresql://ada:***@host/runs\n")
    assert "secret" not in text


def test_output_is_a_folder_or_none(tmp_path: Path) -> None:
    assert read_output("none") is None
    assert read_output(str(tmp_path)) == tmp_path
    assert read_output(str(tmp_path / "new")) == tmp_path / "new"
    assert read_output("~/folder") == Path.home() / "folder"
    with pytest.raises(InvalidInput, match=r"output must be a folder, but .* is a file"):
        read_output(__file__)


@grid_is_needed
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiment": "nope"}, "no experiment is named 'nope' .* there are: Default, compos"),
        ({"experiment": "composability,nope"}, "no experiment is named 'nope'"),
        ({"experiment": " , "}, "experiment must name at least one, but got ' , '"),
        (
            {"experiment": "Default"},
            "experiment Default: no finished run is a pair of interventions; there are: none",
        ),
        ({"criteria": "edit_sucess"}, "no criterion 'edit_sucess'. Did you mean 'edit_success'"),
        (
            {"levels": "sparsity=0.6"},
            "level sparsity=0.6: no run has it; levels that both orders have: 0.25, 0.5, 0.75",
        ),
        ({"levels": "0.25"}, "levels must be written like sparsity=0.25,bits=4, but got '0.25'"),
        ({"bounds": "mmlu>0.4"}, "bounds must be written like mmlu=0.4,wikitext_ppl=8, but got"),
        ({"bounds": "mmul=0.4"}, "no criterion 'mmul'. Did you mean 'mmlu'"),
        ({"bounds": "mmlu=2"}, "no level is within the bounds; mmlu lies in .* to "),
        ({"error": "median"}, "error must be one of 'best', 'worst', but got 'median'"),
        ({"items": "some"}, "items must be auto or all or none, but got 'some'"),
        ({"output": __file__}, "output must be a folder, but .* is a file"),
    ],
)
def test_bad_input_is_one_line_status_2_and_no_run(
    options: dict[str, str],
    message: str,
    grid: pd.DataFrame,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = len(reports(store.uri()))
    assert analyze(**options) == 2
    error = capsys.readouterr().err
    assert pd.Series([error]).str.contains(message).item(), error
    assert error.count("\n") == 1
    assert len(reports(store.uri())) == before


def test_a_level_that_only_one_order_has_is_refused(
    local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client = MlflowClient(local_store)
    for spec, level in (("ft | wanda", "0.25"), ("wanda | ft", "0.25"), ("ft | wanda", "0.5")):
        run = client.create_run(store.ensure_experiment())
        params = {"composition": spec, "pair": "ft + wanda", "wanda.sparsity": level}
        params |= {f"step{place}": name for place, name in enumerate(spec.split(" | "), start=1)}
        for key, value in params.items():
            client.log_param(run.info.run_id, key, value)
        client.log_metric(run.info.run_id, "mmlu", 0.5)
        client.set_terminated(run.info.run_id)
    assert analyze(levels="sparsity=0.5") == 2
    assert (
        "level sparsity=0.5: only ft → wanda has it; levels that both orders have: 0.25"
        in capsys.readouterr().err
    )


# under `mlflow run`


@grid_is_needed
def test_a_launched_analysis_adopts_the_launchers_run(
    grid: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(store.uri())
    run_id = client.create_run(store.ensure_experiment(store.REPORTS)).info.run_id
    client.log_param(run_id, "experiment", "'composability'")  # quoted, as the launcher does
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert analyze(experiment="composability", items="none", criteria="edit_success") == 0
    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "analysis of composability")
    assert run.data.params["experiment"] == "'composability'"
    assert run.data.params["items"] == "none"
    assert "report.html" in {artifact.path for artifact in client.list_artifacts(run_id)}


def test_bad_input_fails_the_launchers_run_with_the_line_as_note(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment(store.REPORTS)).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert analyze(experiment="nope") == 2
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert "no experiment is named 'nope'" in run.data.tags[schema.NOTE]
