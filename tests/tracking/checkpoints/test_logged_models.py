"""Checkpoints as LoggedModels: files, names, metrics by step and data set, one copy on disk."""

import json
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput
from transformers import AutoModelForCausalLM

from interventions.aside import remove
from interventions.errors import InvalidInput
from tests.tracking.recorded import artifacts
from tracking import artifact_files, schema, store
from tracking.checkpoints import load_checkpoint, logged_models
from tracking.checkpoints.integrity import content_checksum, damaged_files
from tracking.checkpoints.logged_models import model_of_step
from tracking.checkpoints.model_address import checkpoint_at
from tracking.checkpoints.store import Checkpoints
from tracking.run import run

STEPS = "magnitude(sparsity=0.5) | rtn(bits=4)"


def models() -> list[LoggedModel]:
    logged = MlflowClient().search_logged_models([store.ensure_experiment()])
    return sorted(logged, key=lambda model: str(model.name))


def files_of(model: LoggedModel) -> Path:
    return Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}"))


@pytest.fixture
def run_id(local_store: str, checkpoints: Checkpoints) -> str:
    return run(STEPS, criteria="sparsity,mmlu", cache=checkpoints)


def test_each_checkpoint_is_a_model_with_its_name_steps_params_and_output(run_id: str) -> None:
    first, second = models()
    assert (first.name, second.name) == ("1-magnitude", "2-rtn")
    assert (first.status, second.status) == ("READY", "READY")
    assert second.source_run_id == run_id
    assert second.tags[schema.CHECKPOINT_SPEC] == "magnitude(sparsity=0.5) → rtn(bits=4)"
    assert second.tags[schema.CHECKPOINT_STEP] == "2"
    assert second.params["bits"] == "4"
    logged = MlflowClient().get_run(run_id)
    outputs = {output.model_id: output.step for output in logged.outputs.model_outputs}
    assert outputs == {first.model_id: 1, second.model_id: 2}
    assert second.tags[schema.KEY] == logged.data.tags[schema.KEY]


def test_the_models_address_and_the_runs_give_the_same_loadable_folder(run_id: str) -> None:
    second = models()[1]
    by_model = files_of(second)
    by_name = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/2-rtn"))
    by_path = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/checkpoints/2-rtn"))
    recorded = MlflowClient().get_run(run_id).data.tags[schema.checksum_tag(2)]
    for folder in (by_model, by_name, by_path):
        assert damaged_files(folder) == []
        assert content_checksum(folder) == recorded
    AutoModelForCausalLM.from_pretrained(by_model)


def test_on_a_local_store_run_and_model_share_one_file(run_id: str) -> None:
    for model in models():
        in_run = artifacts(run_id) / "checkpoints" / str(model.name)
        names = {path.name for path in in_run.iterdir()}
        assert "model.safetensors" in names
        for path in files_of(model).iterdir():
            assert path.samefile(in_run / path.name), path.name
    assert not (artifacts(run_id) / "checkpoints" / "index.json").exists()


def test_metrics_are_linked_to_the_model_and_to_the_data_set_they_were_measured_on(
    run_id: str,
) -> None:
    second = models()[1]
    measured_on = {metric.key: metric.dataset_name for metric in second.metrics}
    assert measured_on["mmlu"] == measured_on["stderr/mmlu"] == "testbed/questions.mmlu"
    assert measured_on["sparsity"] is None
    assert {metric.step for metric in second.metrics if metric.key == "mmlu"} == {2}
    client, experiment_id = MlflowClient(), store.ensure_experiment()
    questions = [{"dataset_name": "testbed/questions.mmlu"}]
    by_data = client.search_logged_models([experiment_id], "metrics.mmlu > 0.1", questions)
    assert len(by_data) == 2
    edits = [{"dataset_name": "testbed/edits"}]
    assert not client.search_logged_models([experiment_id], "metrics.mmlu > 0.1", edits)
    sparse = client.search_logged_models([experiment_id], "metrics.sparsity > 0.9")
    assert not sparse


@pytest.mark.parametrize("policy", ["none", "changed"])
def test_what_is_not_logged_whole_is_no_model(
    policy: str, local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = run(STEPS, criteria="sparsity", checkpoints=policy, cache=checkpoints)
    assert models() == []
    assert not MlflowClient().get_run(run_id).outputs.model_outputs


def test_where_artifacts_are_elsewhere_the_model_has_the_files_and_an_index_names_it(
    local_store: str, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on a server: nothing of the store is taken for a folder of this machine."""
    monkeypatch.setattr(logged_models, "local_artifacts", lambda address: None)
    run_id = run(STEPS, criteria="sparsity", cache=checkpoints)
    folder = artifacts(run_id) / "checkpoints"
    assert [path.name for path in folder.iterdir()] == ["index.json"]
    index = json.loads((folder / "index.json").read_text())
    assert [(name, entry["step"]) for name, entry in index.items()] == [
        ("1-magnitude", 1),
        ("2-rtn", 2),
    ]
    expected = checkpoints.path(MlflowClient().get_run(run_id).data.tags[schema.KEY])
    by_index = Path(mlflow.artifacts.download_artifacts(index["2-rtn"]["uri"]))
    assert content_checksum(by_index) == content_checksum(expected)
    monkeypatch.setattr("tracking.checkpoints.restore._computed_again", None)  # from files alone
    whole = load_checkpoint(run_id, 2, tmp_path / "whole", Checkpoints(tmp_path / "empty"))
    assert content_checksum(whole) == content_checksum(expected)


def test_files_that_cannot_be_stored_leave_a_model_that_says_failed(
    local_store: str, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(logged_models, "link_or_copy", full)
    with pytest.raises(OSError, match="No space left"):
        run("magnitude", criteria="sparsity", cache=checkpoints)
    (model,) = models()
    assert model.status == "FAILED"
    (failed,) = MlflowClient().search_runs([store.ensure_experiment()])
    assert failed.info.status == "FAILED"
    assert model_of_step(MlflowClient(), failed, 1) is None


def test_a_model_without_files_of_earlier_versions_is_not_taken_for_a_checkpoint(
    run_id: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    client = MlflowClient()
    stub = mlflow.create_external_model(
        name="2-rtn", source_run_id=run_id, experiment_id=store.ensure_experiment()
    )
    client.log_outputs(run_id, [LoggedModelOutput(stub.model_id, 2)])
    model = model_of_step(client, client.get_run(run_id), 2)
    assert model is not None and model.model_id != stub.model_id


def test_a_model_whose_file_was_replaced_by_a_link_is_refused(
    run_id: str, tmp_path: Path, checkpoints: Checkpoints
) -> None:
    remove(artifacts(run_id) / "checkpoints" / "1-magnitude")
    weights = files_of(models()[0]) / "model.safetensors"
    weights.unlink()
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match="is no plain file"):
        load_checkpoint(run_id, 1, tmp_path / "whole", checkpoints)


def test_an_address_means_one_checkpoint_and_anything_else_is_refused(run_id: str) -> None:
    second = models()[1]
    address = f"models:/{second.model_id}"
    assert checkpoint_at(address) == checkpoint_at(address, 2) == (run_id, 2)
    with pytest.raises(InvalidInput, match="is the checkpoint of step 2, but step=1 was given"):
        load_checkpoint(address, 1)
    for unknown in ("models:/m-0123", "models:/nobody@champion", "models:/nobody/3"):
        with pytest.raises(InvalidInput, match=f"there is no '{unknown}'"):
            load_checkpoint(unknown)
    with pytest.raises(InvalidInput, match="a model's address is"):
        load_checkpoint("models:/nobody")
    foreign = mlflow.create_external_model("mine", experiment_id=store.ensure_experiment())
    with pytest.raises(InvalidInput, match="no checkpoint that a run of ours logged"):
        load_checkpoint(f"models:/{foreign.model_id}")


def test_a_local_folder_is_known_by_its_address() -> None:
    assert artifact_files.local_artifacts("mlflow-artifacts:/1/models/m-1/artifacts") is None
