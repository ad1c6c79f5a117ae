"""The command that makes one run: bad input is one line; `mlflow run` works as written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from composability.command import main
from tracking import query, store

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--first", "wnda"], "no intervention is named 'wnda'. Did you mean 'wanda'"),
        (
            ["--first", "wanda(sparsity=25)"],
            "wanda.sparsity must be at least 0 and less than 1, but got 25",
        ),
        (["--first", "ft(layers=17)"], "ft.layers names layer 17, but the model has layers 0 to 5"),
        (["--model", "./not/there"], "model './not/there' is not a folder"),
        (
            ["--model", "nobody/nothing"],
            "cannot read a causal language model from 'nobody/nothing'",
        ),
        (["--data", "papr"], "data must be testbed or paper, but got 'papr'"),
        (["--edit_batch", "20"], "edit_batch must be 0 to 19"),
        (["--edit_batch", "x"], "Invalid value for '--edit-batch'"),
        (["--seed", "-1"], "-1 is not in the range 0<=x<=4294967295"),
        (["--dtype", "float8"], "'float8' is not one of 'auto', 'float32'"),
        (["--recompress", "maybe"], "'maybe' is not one of 'auto', 'never', 'paper', 'preset'"),
        (["--window", "1"], "window must be 0 (the data's own) or an integer from 2 to 1048576"),
        (["--window", "-1"], "-1 is not in the range 0<=x<=1048576"),
        (["--checkpoints", "some"], "'some' is not one of 'all', 'last', 'changed', 'none'"),
        (["--frist", "lora"], "No such option '--frist'. Did you mean '--first'?"),
    ],
)
def test_bad_input_is_one_line_status_2_and_no_run(
    arguments: list[str], message: str, local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert len(query.compositions()) == 0
    assert not MlflowClient(local_store).search_runs([store.ensure_experiment()])


def test_bad_input_under_mlflow_run_fails_its_run_with_the_line_as_note(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert main(["run", "--first", "wnda"]) == 2
    ended = client.get_run(run_id)
    assert ended.info.status == "KILLED"
    assert "Did you mean 'wanda'" in ended.data.tags["mlflow.note.content"]


@pytest.mark.full
def test_the_users_command_works_as_written_from_another_directory(
    tmp_path: Path, kept_folder: Path
) -> None:
    """`mlflow run <checkout> -P …`, without pyenv or virtualenv on PATH."""
    from tracking import setup

    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "MLFLOW_ENV_ROOT": str(tmp_path / "envs"),
        "MLFLOW_TRACKING_URI": uri,
        "COMPOSABILITY_CACHE": str(kept_folder),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
        setup.link_environment(Path(sys.prefix))

    def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("mlflow")), "run", str(ROOT), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    wrong = launch("-P", "first=wnda")
    assert wrong.returncode != 0
    assert "Did you mean 'wanda'" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    right = launch("-P", "first=ft", "-P", "second=wanda(sparsity=0.25)")
    assert right.returncode == 0, right.stderr
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("composability").experiment_id])
    # ended KILLED, which MLflow's launcher, as of 3.17, overwrites: it takes no status for an end
    assert [r.info.status for r in runs] == ["FINISHED", "FAILED"]
    assert "wnda" in runs[1].data.tags["composability.rejected"]
    assert runs[0].info.run_name == "ft → wanda(sparsity=0.25)"
    assert "Did you mean 'wanda'" in runs[1].data.tags["mlflow.note.content"]
