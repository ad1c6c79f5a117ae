"""The packed form of a checkpoint: a model beside the dense one, and loaded by others."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from torch import Tensor

from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.options import EXPORTS, UNPACKED
from interventions.packed_formats import FORMATS
from tests.interventions.quantized import read_compressed_tensors
from tests.peers import environment
from tests.tracking.test_registration import TOKENS, logits
from tests.tracking.test_store_kinds import server as server
from tracking import schema
from tracking.checkpoints.logged_models import model_of_step
from tracking.checkpoints.store import Checkpoints
from tracking.registration import register
from tracking.run import run

STEPS = "magnitude(sparsity=0.5) | rtn(bits=4)"
# loads a folder with plain transformers, in an environment that has neither this package nor MLflow
STRANGER = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
AutoTokenizer.from_pretrained(sys.argv[1])
with torch.no_grad():
    torch.save(model(torch.tensor(json.loads(sys.argv[2]))).logits, sys.argv[3])
"""


def stranger_logits(folder: Path | str, path: Path) -> Tensor:
    command = [str(environment("packed")), "-W", "ignore", "-c", STRANGER]
    subprocess.run(
        [*command, str(folder), json.dumps(TOKENS), str(path)],
        cwd=path.parent,
        env={**os.environ, "TORCHDYNAMO_DISABLE": "1", "PYTHONPATH": ""},
        check=True,
        timeout=300,
    )
    return torch.as_tensor(torch.load(path))


def test_every_packed_form_has_a_name_as_an_option() -> None:
    assert set(EXPORTS) == {UNPACKED, *FORMATS}


def test_a_packed_form_is_a_model_beside_the_dense_one_and_holds_its_weights(
    local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = run("rtn(bits=4)", criteria="sparsity", cache=checkpoints)
    client = MlflowClient()
    dense = model_of_step(client, client.get_run(run_id), 1)
    registered = register(
        run_id, "small", alias="packed", export="compressed-tensors", checkpoints=checkpoints
    )
    assert registered.address == "models:/small@packed"
    version = client.get_model_version_by_alias("small", "packed")
    assert version.tags[schema.EXPORT] == "compressed-tensors"
    assert float(version.tags[schema.EXPORT_DIFFERENCE]) == 0
    assert "compressed-tensors" in version.description
    folder = Path(mlflow.artifacts.download_artifacts(registered.address))
    assert (folder / "model.safetensors").stat().st_size < 6e6
    key = client.get_run(run_id).data.tags[schema.KEY]
    lm = LM.load(checkpoints.path(key), "float32", "cpu")
    name = "0.self_attn.k_proj"
    grid, state = lm.grids[name], lm.model.state_dict()
    is_symmetric = bool((grid.zero == 2 ** (grid.bits - 1)).all())
    layer = f"model.layers.{name}"
    read = read_compressed_tensors(folder, layer, grid.bits, grid.group, is_symmetric)
    assert torch.equal(read, state[f"{layer}.weight"])
    # the dense one stays the run's checkpoint, and the packed one is made once
    of_step = model_of_step(client, client.get_run(run_id), 1)
    assert dense and of_step and of_step.model_id == dense.model_id
    again = register(run_id, "small", export="compressed-tensors", checkpoints=checkpoints)
    assert not again.is_new and again.version == registered.version
    assert register(run_id, "small").version != registered.version


def test_weights_on_no_grid_have_no_packed_form_and_nothing_is_registered(
    local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = run("magnitude(sparsity=0.5)", criteria="sparsity", cache=checkpoints)
    with pytest.raises(InvalidInput, match="is not quantized"):
        register(run_id, "small", export="gptq", checkpoints=checkpoints)
    with pytest.raises(InvalidInput, match="export must be one of none, compressed-tensors, gptq"):
        register(run_id, "small", export="gguf", checkpoints=checkpoints)
    assert not MlflowClient().search_registered_models()
    assert len(MlflowClient().get_run(run_id).outputs.model_outputs) == 1


@pytest.mark.slow
def test_plain_transformers_loads_dense_and_packed_after_the_cache_was_deleted(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    mlflow.set_tracking_uri(server)
    checkpoints = Checkpoints(tmp_path / "cache")
    run_id = run(STEPS, criteria="sparsity", cache=checkpoints)
    expected = logits(checkpoints.path(MlflowClient().get_run(run_id).data.tags[schema.KEY]))
    dense = register(run_id, "small", alias="dense", checkpoints=checkpoints)
    packed = register(
        run_id, "small", alias="packed", export="compressed-tensors", checkpoints=checkpoints
    )
    shutil.rmtree(tmp_path / "cache")
    folders = {
        registered.alias: mlflow.artifacts.download_artifacts(registered.address)
        for registered in (dense, packed)
    }
    read = {name: stranger_logits(folder, tmp_path / name) for name, folder in folders.items()}
    assert torch.equal(read["dense"], expected)
    assert torch.equal(read["packed"], expected)
