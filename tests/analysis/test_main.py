"""The command `composability analyze`, and `mlflow run . -e analyze`."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from analysis.report.request import read_analysis_request
from composability.command import main
from tests.analysis.report.command import reports
from tracking import plugin, store

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--experimnt", "x"], "No such option '--experimnt'. Did you mean '--experiment'?"),
        (["--experiment"], "Option '--experiment' requires an argument"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_mlproject_has_the_requests_parameters_and_defaults() -> None:
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]["analyze"]
    defaults = {name: parameter["default"] for name, parameter in entry["parameters"].items()}
    parameters = inspect.signature(read_analysis_request).parameters
    expected = {name: parameter.default for name, parameter in parameters.items()}
    assert defaults == expected | {"output": "none"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["-e", "analyze", "-P", "experiment=nope,other"],
        ["-P", "experiment=nope", "-e", "published"],
        ["--entry-point", "analyze"],
        ["--entry-point=analyze", "-Pexperiment=nope"],
        ["-eanalyze"],
    ],
)
def test_launches_that_read_log_among_the_reports_and_make_no_experiment_of_what_they_read(
    arguments: list[str], local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mlflow", "run", str(ROOT), *arguments])
    experiment_id = plugin.CheckoutExperiment().get_experiment_id()
    client = MlflowClient(local_store)
    assert client.get_experiment(experiment_id).name == store.REPORTS
    names = {experiment.name for experiment in client.search_experiments()}
    assert names == {"Default", "composability", "reports"}


@pytest.mark.full
def test_the_analysis_loads_no_torch(grid_uri: str, tmp_path: Path) -> None:
    """import-linter sees our own modules; this sees what libraries import on their own."""
    code = (
        "import sys; from analysis.report.run import run_command; import analysis;"
        " analysis.recommend; run_command({'items': 'none', 'criteria': 'edit_success'});"
        " assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    environment = os.environ | {"MLFLOW_TRACKING_URI": grid_uri}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)


@pytest.mark.slow
def test_the_users_commands_work_as_written(tmp_path: Path) -> None:
    """`mlflow run . -e published`, twice, and `-e analyze`, from another folder, without pyenv."""
    from tracking import setup

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "MLFLOW_ENV_ROOT": str(tmp_path / "envs"),
        "MLFLOW_TRACKING_URI": uri,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
        setup.link_environment(Path(sys.prefix))

    def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("mlflow")), "run", str(ROOT), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    for added in (311, 0):
        process = launch("-e", "published")
        assert process.returncode == 0, process.stderr
        assert f"{added} runs added to experiment 'published'" in process.stdout
    files = tmp_path / "files"
    process = launch("-e", "analyze", "-P", "experiment=published", "-P", f"output={files}")
    assert process.returncode == 0, process.stderr
    assert (files / "report.html").exists()
    process = launch("-e", "analyze", "-P", "experiment=typo")
    assert process.returncode != 0
    assert "no experiment is named 'typo'" in process.stderr and "Traceback" not in process.stderr
    experiments = MlflowClient(uri).search_experiments()
    assert {experiment.name for experiment in experiments} == {"Default", "published", "reports"}
    logged = [(run.info.run_name, run.info.status) for run in reports(uri)]
    imported = ("import of the paper's rows", "FINISHED")
    assert logged[1:] == [("analysis of published", "FINISHED"), imported, imported]
    assert logged[0][0].startswith("rejected: no experiment is named 'typo' in ")
    assert logged[0][1] == "KILLED"
