"""Whether a model's code and pickles are trusted: given per run, logged, and never inherited."""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Param, Run
from transformers import dynamic_module_utils

from composability.command import main
from interventions.errors import InvalidInput
from interventions.lm import LM
from sweeps.grid.run import grid
from sweeps.grid.spec import GridRequest
from sweeps.study.request import read_study_request
from sweeps.study.spec import StudySpec
from tests.interventions.model_folders import folder_with_code, folder_with_pickle
from tests.sweeps.small_testbed import use_small_testbed
from tracking import query, store
from tracking.checkpoints.restore import load_checkpoint
from tracking.checkpoints.store import Checkpoints
from tracking.run import run

STEPS = "magnitude(sparsity=0.5) | ft(steps=1)"


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_testbed(monkeypatch)
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.fixture
def cache(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "cache")


def runs() -> list[Run]:
    return list(MlflowClient().search_runs([store.ensure_experiment()]))


@pytest.mark.parametrize("command", ["run", "grid", "tune"])
def test_code_is_refused_before_a_run_whichever_command(
    command: str, local_store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, trace = folder_with_code(tmp_path)
    what = {"run": ["wanda"], "grid": ["--interventions", "ft; wanda"], "tune": ["wanda"]}[command]
    assert main([command, *what, "--model", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "trust_remote_code=true" in error and error.count("\n") == 1
    assert not trace.exists() and not runs()


def test_a_pickle_is_refused_before_a_run(local_store: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="allow_pickle=true"):
        run("none", model=str(folder_with_pickle(tmp_path)))
    assert not runs()


def test_a_pickle_that_is_trusted_is_logged_as_such(
    local_store: str, cache: Checkpoints, tmp_path: Path
) -> None:
    folder = folder_with_pickle(tmp_path)
    run_id = run("magnitude", model=str(folder), allow_pickle=True, cache=cache)
    params = MlflowClient().get_run(run_id).data.params
    assert (params["allow_pickle"], params["trust_remote_code"]) == ("true", "false")
    with pytest.raises(InvalidInput, match=r"had allow_pickle=true, .* give allow_pickle=true"):
        load_checkpoint(run_id, 1, tmp_path / "out", cache)
    folder = load_checkpoint(run_id, 1, tmp_path / "out", cache, allow_pickle=True)
    assert (folder / "model.safetensors").exists()


def test_trusted_code_runs_in_every_step_and_is_logged(
    local_store: str, cache: Checkpoints, tmp_path: Path
) -> None:
    folder, trace = folder_with_code(tmp_path)
    settings: dict[str, Any] = {"model": str(folder), "trust_remote_code": True, "cache": cache}
    run("magnitude(sparsity=0.5)", checkpoints="none", **settings)
    run_id = run(STEPS, checkpoints="changed", **settings)
    finished = MlflowClient().get_run(run_id)
    assert (finished.info.status, finished.data.params["trust_remote_code"]) == ("FINISHED", "true")
    # the second run went on from the first one's checkpoint, which has the code
    assert finished.data.tags["composability.reused_prefix"] == "1"
    key = finished.data.tags["composability.key"]
    with pytest.raises(InvalidInput, match="trust_remote_code=true"):
        LM.load(cache.path(key))
    assert type(LM.load(cache.path(key), trust_remote_code=True).model).__name__ == "OwnModel"
    assert trace.exists()


def test_to_restore_does_not_trust_what_the_run_trusted(
    local_store: str,
    cache: Checkpoints,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, trace = folder_with_code(tmp_path)
    run_id = run(
        STEPS, model=str(folder), trust_remote_code=True, checkpoints="changed", cache=cache
    )
    trace.unlink()
    for step in (1, 2):
        with pytest.raises(InvalidInput, match=r"had trust_remote_code=true, for model .* too$"):
            load_checkpoint(run_id, step, tmp_path / "out", Checkpoints(tmp_path / "empty"))
    assert main(["restore", run_id, "2", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not trace.exists() and not (tmp_path / "out").exists()
    trusted = ["--trust-remote-code", "true"]
    assert main(["restore", run_id, "2", str(tmp_path / "out"), *trusted]) == 0
    assert (tmp_path / "out" / "modeling_own.py").exists()


def test_trust_in_the_caller_is_none_in_the_run(
    local_store: str, cache: Checkpoints, tmp_path: Path
) -> None:
    run_id = run("magnitude", checkpoints="none", cache=cache)
    restored = load_checkpoint(
        run_id, 1, tmp_path / "out", cache, trust_remote_code=True, allow_pickle=True
    )
    assert LM.load(restored).fingerprint()


@pytest.mark.parametrize("text", ["maybe", "1", "'true'"])
def test_a_run_that_says_neither_true_nor_false_is_refused(local_store: str, text: str) -> None:
    client = MlflowClient()
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    params = {"composition": "magnitude", "step1": "magnitude", "seed": "0", "edit_batch": "0"}
    params["trust_remote_code"] = text
    client.log_batch(run_id, params=[Param(name, value) for name, value in params.items()])
    with pytest.raises(InvalidInput, match=r"the param trust_remote_code of run .* true or false"):
        load_checkpoint(run_id, 1)


def test_a_grid_hands_trust_on_to_its_runs(
    local_store: str, cache: Checkpoints, tmp_path: Path
) -> None:
    folder, _ = folder_with_code(tmp_path)
    made = grid("magnitude", length=1, model=str(folder), trust_remote_code=True, cache=cache)
    assert made.runs == 1
    logged = {run.info.run_id: run.data.params for run in runs()}
    assert {params["trust_remote_code"] for params in logged.values()} == {"true"}
    assert logged[made.run_id]["allow_pickle"] == "false"
    (row,) = query.compositions().itertuples()
    assert (row.trust_remote_code, row.allow_pickle) == ("true", "false")


def test_a_grid_and_a_study_take_true_and_false_only() -> None:
    with pytest.raises(InvalidInput, match="allow_pickle must be true or false, but got 'true'"):
        GridRequest("wanda", allow_pickle="true").checked()  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="trust_remote_code must be true or false, but got 1"):
        read_study_request("rmu", trust_remote_code=1)  # type: ignore[arg-type]


def test_a_study_is_about_trust_only_if_it_trusts() -> None:
    request = read_study_request(
        "ft", objective="edit_success", trust_remote_code=True, allow_pickle=True
    )
    assert (request.settings.trust_remote_code, request.settings.allow_pickle) == (True, True)
    assert dict(request.params)["trust_remote_code"] == "true"
    assert StudySpec(request).about()["trust_remote_code"] == "true"
    # studies of before there was a choice go on under their names
    untrusting = read_study_request("ft", objective="edit_success")
    assert "trust_remote_code" not in StudySpec(untrusting).about()


def test_runs_of_before_there_was_a_choice_trusted_nothing(local_store: str) -> None:
    client = MlflowClient()
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    client.log_param(run_id, "composition", "wanda")
    (row,) = query.compositions().itertuples()
    assert row.trust_remote_code == "false"
