"""`composability register`: a version, an alias, a card; a folder that needs no package of ours."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM

from composability.command import main
from interventions.errors import InvalidInput
from interventions.files import set_read_only
from tests.tracking.test_store_kinds import server as server
from tracking import schema, store
from tracking.checkpoints import load_checkpoint
from tracking.checkpoints.integrity import content_checksum
from tracking.checkpoints.store import Checkpoints
from tracking.registration import register
from tracking.run import run

STEPS = "magnitude(sparsity=0.5) | rtn(bits=4)"
TOKENS = [[5, 6, 7, 8, 9, 10]]
# loads a registered model with MLflow and transformers alone
STRANGER = """
import json, sys
for name in ("composability", "interventions", "tracking", "sweeps", "analysis"):
    sys.modules[name] = None
import mlflow, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = mlflow.artifacts.download_artifacts(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(folder)
AutoTokenizer.from_pretrained(folder)
tokens = torch.tensor(json.loads(sys.argv[2]))
with torch.no_grad():
    torch.save(model(tokens).logits, sys.argv[3])
"""


@pytest.fixture
def run_id(local_store: str, checkpoints: Checkpoints) -> str:
    return run(STEPS, criteria="sparsity,mmlu", cache=checkpoints)


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return torch.as_tensor(
            AutoModelForCausalLM.from_pretrained(folder)(torch.tensor(TOKENS)).logits
        )


def stranger_logits(address: str, path: Path) -> torch.Tensor:
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STRANGER, address, json.dumps(TOKENS), str(path)],
        cwd=path.parent,
        check=True,
        timeout=300,
    )
    return torch.as_tensor(torch.load(path))


def test_a_registered_checkpoint_is_found_by_its_alias_and_by_its_version(
    run_id: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    registered = register(run_id, "edited and pruned", alias="champion")
    assert (registered.version, registered.step, registered.is_new) == (1, 2, True)
    assert registered.address == "models:/edited and pruned@champion"
    recorded = MlflowClient().get_run(run_id).data.tags[schema.checksum_tag(2)]
    for number, address in enumerate((registered.address, "models:/edited and pruned/1")):
        folder = load_checkpoint(address, folder=tmp_path / str(number), checkpoints=checkpoints)
        assert content_checksum(folder) == recorded
        assert content_checksum(Path(mlflow.artifacts.download_artifacts(address))) == recorded


def test_registering_again_moves_the_alias_and_makes_no_second_version(run_id: str) -> None:
    first = register(run_id, "pair", step=1, alias="champion")
    second = register(run_id, "pair", alias="champion", tags={"why": "better"})
    again = register(run_id, "pair", step=1, alias="champion")
    assert [first.version, second.version, again.version] == [1, 2, 1]
    assert [first.is_new, second.is_new, again.is_new] == [True, True, False]
    assert str(again).startswith("step 1 of run ")
    assert "was registered already as models:/pair@champion" in str(again)
    versions = [MlflowClient().get_model_version("pair", number) for number in ("1", "2")]
    assert [version.aliases for version in versions] == [["champion"], []]
    assert len(MlflowClient().search_model_versions("name = 'pair'")) == 2
    assert versions[1].tags == {
        "why": "better",
        schema.CHECKPOINT_STEP: "2",
        schema.CHECKPOINT_SPEC: "magnitude(sparsity=0.5) → rtn(bits=4)",
    }


def test_the_card_has_steps_hyperparameters_values_with_intervals_and_data(run_id: str) -> None:
    register(run_id, "pair")
    card = MlflowClient().get_model_version("pair", "1").description
    run_data = MlflowClient().get_run(run_id).data
    value, stderr = run_data.metrics["mmlu"], run_data.metrics["stderr/mmlu"]
    low, high = value - 1.959964 * stderr, value + 1.959964 * stderr
    assert card.startswith("# magnitude(sparsity=0.5) → rtn(bits=4)\n")
    assert f"| mmlu | higher | {value:.4g} | {low:.4g} to {high:.4g} |" in card
    assert "| sparsity | neither | " in card and " | not known |" in card
    assert "| rtn.bits | 4 |" in card and "| magnitude.sparsity | 0.5 |" in card
    assert "| testbed/questions.mmlu | " in card
    assert "compared with what is measured: not compared." in card
    assert card.count("*to be filled in*") == 4
    as_file = mlflow.artifacts.load_text(f"runs:/{run_id}/model_cards/2-rtn.md")
    assert as_file.startswith("---\nlicense: other  # to be filled in") and as_file.endswith(card)


def test_the_card_of_an_earlier_step_says_nothing_of_later_ones(run_id: str) -> None:
    register(run_id, "pair", step=1)
    card = MlflowClient().get_model_version("pair", "1").description
    assert card.startswith("# magnitude(sparsity=0.5)\n")
    assert "rtn" not in card
    criteria = json.loads(mlflow.artifacts.load_text(f"runs:/{run_id}/criteria.json"))
    value = criteria["steps"][1]["criteria"]["sparsity"]["value"]
    assert f"| sparsity | neither | {value:.4g} |" in card


@pytest.mark.parametrize("policy", ["none", "changed"])
def test_a_checkpoint_that_was_not_logged_whole_is_restored_and_registered(
    policy: str, local_store: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    run_id = run(STEPS, criteria="sparsity", checkpoints=policy, cache=checkpoints)
    before = sorted(path.name for path in _artifacts(run_id).rglob("*"))
    registered = register(run_id, "pair", checkpoints=Checkpoints(tmp_path / "other"))
    folder = Path(mlflow.artifacts.download_artifacts(registered.address))
    key = MlflowClient().get_run(run_id).data.tags[schema.KEY]
    assert content_checksum(folder) == content_checksum(checkpoints.path(key))
    after = sorted(path.name for path in _artifacts(run_id).rglob("*") if path.suffix != ".md")
    assert after == sorted([*before, "model_cards"])


def _artifacts(run_id: str) -> Path:
    return Path(MlflowClient().get_run(run_id).info.artifact_uri.removeprefix("file://"))


def test_a_damaged_model_is_not_registered(run_id: str) -> None:
    (model,) = [
        model
        for model in MlflowClient().search_logged_models([store.ensure_experiment()])
        if model.name == "2-rtn"
    ]
    folder = Path(model.artifact_location.removeprefix("file://"))
    shutil.copytree(folder, folder.with_name("copy"))
    shutil.rmtree(folder)
    folder.with_name("copy").rename(folder)
    set_read_only(folder, read_only=False)
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InvalidInput, match=r"is damaged \(model.safetensors\): delete it"):
        register(run_id, "pair")
    assert MlflowClient().search_registered_models() == []
    MlflowClient().delete_logged_model(model.model_id)
    assert register(run_id, "pair").version == 1


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "a@b", "it's", ".", "x" * 201, "a\nb"])
def test_a_name_that_mlflow_or_an_address_cannot_have_is_refused(
    name: str, local_store: str
) -> None:
    with pytest.raises(InvalidInput, match="name must be 1 to 200 printable characters"):
        register("0", name)


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "a b", "a/b"])
def test_an_alias_that_mlflow_reserves_is_refused(alias: str, local_store: str) -> None:
    with pytest.raises(InvalidInput, match="alias must be"):
        register("0", "pair", alias=alias)


def test_only_a_finished_composition_and_its_steps_are_registered(run_id: str) -> None:
    client = MlflowClient()
    with pytest.raises(InvalidInput, match="step must be 1 to 2"):
        register(run_id, "pair", step=3)
    client.set_terminated(run_id, "KILLED")
    with pytest.raises(InvalidInput, match=r"is KILLED; a run that FINISHED is registered"):
        register(run_id, "pair")
    empty = client.create_run(store.ensure_experiment()).info.run_id
    with pytest.raises(InvalidInput, match="no composition"):
        register(empty, "pair")
    assert client.search_registered_models() == []


def test_a_version_that_cannot_be_made_leaves_no_empty_model_behind(
    run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise mlflow.MlflowException("no")

    monkeypatch.setattr(MlflowClient, "create_model_version", refused)
    with pytest.raises(InvalidInput, match="MLflow did not register 'pair': no"):
        register(run_id, "pair")
    assert MlflowClient().search_registered_models() == []


def test_the_command_prints_the_address_and_refuses_in_one_line(
    run_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", run_id, "--name", "pair", "--step", "1", "--alias", "best"]) == 0
    assert capsys.readouterr().out == f"step 1 of run {run_id} registered as models:/pair@best\n"
    assert main(["register", "nobody", "--name", "pair"]) == 2
    assert capsys.readouterr().err.startswith("error: no run has the id 'nobody' in sqlite:")


@pytest.mark.slow
def test_a_stranger_loads_bitwise_the_same_logits_from_a_local_store_without_the_cache(
    local_store: str, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path / "cache")
    run_id = run(STEPS, criteria="sparsity", cache=checkpoints)
    key = MlflowClient().get_run(run_id).data.tags[schema.KEY]
    expected = logits(checkpoints.path(key))
    registered = register(run_id, "pair", alias="champion")
    shutil.rmtree(tmp_path / "cache")
    assert torch.equal(stranger_logits(registered.address, tmp_path / "logits.pt"), expected)


@pytest.mark.slow
def test_a_stranger_loads_bitwise_the_same_logits_through_a_server_without_the_cache(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    mlflow.set_tracking_uri(server)
    checkpoints = Checkpoints(tmp_path / "cache")
    run_id = run(STEPS, criteria="sparsity,mmlu", cache=checkpoints)
    key = MlflowClient().get_run(run_id).data.tags[schema.KEY]
    expected = logits(checkpoints.path(key))
    registered = register(run_id, "pair", alias="champion")
    shutil.rmtree(tmp_path / "cache")
    assert torch.equal(stranger_logits(registered.address, tmp_path / "logits.pt"), expected)
    restored = load_checkpoint(
        registered.address, None, tmp_path / "restored", Checkpoints(tmp_path / "new")
    )
    assert torch.equal(logits(restored), expected)
    index = mlflow.artifacts.load_dict(f"runs:/{run_id}/checkpoints/index.json")
    assert set(index) == {"1-magnitude", "2-rtn"}
    logged = MlflowClient().get_run(run_id)
    (questions,) = [entry.dataset for entry in logged.inputs.dataset_inputs]
    # a server of MLflow 3.17 finds nothing by the name alone
    by_data = [{"dataset_name": questions.name, "dataset_digest": questions.digest}]
    models = MlflowClient().search_logged_models(
        [logged.info.experiment_id], "metrics.mmlu > 0.1", by_data
    )
    assert questions.name == "testbed/questions.mmlu"
    assert {model.name for model in models} == {"1-magnitude", "2-rtn"}
