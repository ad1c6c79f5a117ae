"""A password in a parameter is refused before it is recorded, and taken back where it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Param, ViewType

from analysis.report.request import read_analysis_request
from composability.command import main
from interventions.errors import InvalidInput
from sweeps.grid.spec import GridRequest
from sweeps.study.request import read_study_request
from tracking import lifecycle, plugin, schema, store
from tracking.passwords import check_no_passwords, take_back_passwords
from tracking.run import run

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s3cret"
ADDRESS = f"postgresql://bob:{SECRET}@host/studies"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: run("magnitude", model=ADDRESS), "model"),
        (lambda: run("magnitude", experiment=ADDRESS), "experiment"),
        (lambda: GridRequest("magnitude", ray_address=f"u:{SECRET}@h:6379").checked(), "ray_"),
        (lambda: GridRequest("magnitude", name=ADDRESS).checked(), "name"),
        (lambda: read_study_request("rmu", storage=ADDRESS), "storage"),
        (lambda: read_study_request("rmu", model=f"http://u:{SECRET}@h"), "model"),
        (lambda: read_analysis_request(ui=f"http://u:{SECRET}@h"), "ui"),
        (lambda: read_analysis_request(experiment=ADDRESS), "experiment"),
    ],
)
@pytest.mark.usefixtures("local_store")
def test_a_password_in_an_argument_is_refused(call: object, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{name}.* has a password") as error:
        call()  # type: ignore[operator]
    assert SECRET not in str(error.value)


def test_the_refusal_of_a_storage_names_the_variable() -> None:
    with pytest.raises(InvalidInput, match=r"set COMPOSABILITY_STUDY_STORAGE .*environment"):
        check_no_passwords({"storage": ADDRESS})
    check_no_passwords({"storage": "postgresql://bob@host/studies", "trials": 3})


def test_the_refusal_shows_no_half_of_a_password_with_a_blank() -> None:
    with pytest.raises(InvalidInput, match=r"given: mysql://host/d\?password=\*\*\*\)") as error:
        check_no_passwords({"storage": f"mysql://host/d?password=two {SECRET}"})
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["run", "magnitude", "--model", ADDRESS], "model has a password"),
        (["grid", "--interventions", "magnitude", "--name", ADDRESS], "name has a password"),
        (["tune", "rmu", "--storage", ADDRESS], "storage has a password"),
        (["analyze", "--ui", f"http://u:{SECRET}@h"], "ui has a password"),
        (["analyze", "--output", ADDRESS], "output has a password"),
        (["run", "magnitude", "--device", ADDRESS], "is not one of"),
    ],
)
def test_a_command_refuses_a_password_and_records_nothing(
    words: list[str], reason: str, local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert reason in printed.err
    assert printed.err.count("\n") == 1 and SECRET not in printed.err + printed.out
    client = MlflowClient(local_store)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    assert len(client.search_runs(ids)) == 0


@pytest.mark.parametrize("words", [["tune", "rmu", "--storage", ADDRESS], ["run", "--seed", "x"]])
def test_a_launched_run_that_recorded_a_password_is_deleted(
    words: list[str],
    local_store: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    client.log_batch(run_id, params=[Param("storage", ADDRESS)])
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert main(words) == 2
    line = capsys.readouterr().err
    assert f"recorded it in run {run_id}, deleted now: change the password" in line
    assert "mlflow gc" in line and line.count("\n") == 1 and len(line) <= 401
    ended = client.get_run(run_id)
    assert ended.info.lifecycle_stage == "deleted" and ended.info.status == "KILLED"
    assert SECRET not in str(ended.data.tags)


def test_a_launched_run_without_a_password_is_kept(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    client.log_batch(run_id, params=[Param("storage", "postgresql://bob@host/studies")])
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert main(["run", "wnda"]) == 2
    (kept,) = client.search_runs([store.ensure_experiment()], run_view_type=ViewType.ACTIVE_ONLY)
    assert kept.info.run_id == run_id


def test_a_repositorys_account_in_a_tag_is_no_password(local_store: str) -> None:
    client = MlflowClient(local_store)
    run = client.create_run(store.ensure_experiment())
    client.set_tag(run.info.run_id, "mlflow.source.git.repoURL", "https://bob@host/bob/repository")
    assert take_back_passwords(client, client.get_run(run.info.run_id)) == ""
    client.set_tag(run.info.run_id, "mlflow.source.git.repoURL", f"https://{SECRET * 4}@host/bob")
    assert "deleted now" in take_back_passwords(client, client.get_run(run.info.run_id))


def test_mlflow_run_refuses_a_password_before_it_records_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["mlflow", "run", str(ROOT), "-e", "tune", "-P", f"storage={ADDRESS}"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as error:
        plugin.CheckoutExperiment()
    line = capsys.readouterr().err
    assert error.value.code == 2 and "storage has a password" in line and SECRET not in line


@pytest.mark.full
def test_mlflow_run_with_a_password_makes_no_run(local_store: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local"]
    ended = subprocess.run(
        [*words, "-e", "tune", "-P", "intervention=rmu", "-P", f"storage={ADDRESS}"],
        cwd=tmp_path,
        env=os.environ | {"MLFLOW_TRACKING_URI": local_store},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2 and SECRET not in ended.stdout + ended.stderr
    assert len(MlflowClient(local_store).search_runs([store.ensure_experiment()])) == 0


def test_a_failed_runs_note_and_traceback_have_no_password(local_store: str) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    with pytest.raises(RuntimeError), lifecycle.closing_run(client, run_id):
        raise RuntimeError(f"no answer of {ADDRESS} to **me**")
    traceback = Path(client.download_artifacts(run_id, schema.TRACEBACK)).read_text()
    note = client.get_run(run_id).data.tags[schema.NOTE]
    # the reason that a sweep gives for a failed job
    assert SECRET not in lifecycle.one_line(RuntimeError(ADDRESS))
    assert SECRET not in traceback + note and "bob:***@host" in traceback
    assert r"\*\*me\*\*" in note
