"""Checkpoints as what changed, and the full folder of any step of a run."""

import shutil
from pathlib import Path
from urllib.parse import urlparse

import pytest
import torch
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM

from composability.command import main
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.tracking.checkpoints.damage import flip_last_byte
from tracking import checkpoints as package
from tracking.checkpoints import load, load_checkpoint
from tracking.checkpoints.integrity import damaged_files, sha256
from tracking.checkpoints.store import Checkpoints
from tracking.run import run


def logged(run_id: str) -> Path:
    """Where the run's checkpoints lie."""
    return Path(urlparse(MlflowClient().get_run(run_id).info.artifact_uri).path) / "checkpoints"


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


@pytest.fixture
def changed(local_store: str, checkpoints: Checkpoints) -> str:
    """A run of three steps, the last a recompression, that logged what changed."""
    return run("wanda(sparsity=0.5) | ft(steps=3)", checkpoints="changed", cache=checkpoints)


def test_what_changed_is_logged_and_the_full_folder_comes_back_byte_for_byte(
    changed: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    """FT trains three down-projections of 128 x 256 float32; Wanda changes all linear layers."""
    three_matrices = 3 * 128 * 256 * 4
    assert three_matrices <= size(logged(changed) / "2-ft") < 1.05 * three_matrices
    assert size(logged(changed) / "1-wanda") < size(MODEL)
    tags = MlflowClient().get_run(changed).data.tags
    for step, name in ((1, "wanda"), (2, "ft"), (3, "wanda")):
        assert (logged(changed) / f"{step}-{name}" / "changes.json").exists()
        whole = load_checkpoint(
            changed, step, tmp_path / str(step), Checkpoints(tmp_path / "empty")
        )
        loaded = AutoModelForCausalLM.from_pretrained(whole)
        assert loaded.num_parameters() == LM.load(MODEL).model.num_parameters()
    original = checkpoints.path(tags["composability.key"])
    for file in original.iterdir():
        assert file.read_bytes() == (tmp_path / "3" / file.name).read_bytes(), file.name


def test_a_damaged_artifact_is_computed_again_with_a_warning(
    changed: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    good = load_checkpoint(changed, 2, tmp_path / "good", Checkpoints(tmp_path / "one"))
    flip_last_byte(logged(changed) / "2-ft" / "model.safetensors")
    with pytest.warns(UserWarning, match=r"step 2 of run .* is damaged .*computed again"):
        again = load_checkpoint(changed, 2, tmp_path / "again", Checkpoints(tmp_path / "two"))
    assert (again / "model.safetensors").read_bytes() == (good / "model.safetensors").read_bytes()


@pytest.mark.parametrize("policy", ["all", "none"])
def test_a_checkpoint_logged_whole_or_not_at_all_comes_back_too(
    policy: str, local_store: str, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(checkpoints.folder.parent / f"fresh-{policy}"))
    run_id = run("ft(steps=3)", checkpoints=policy, cache=checkpoints)
    folder = load_checkpoint(run_id, 1)
    expected = checkpoints.load(
        MlflowClient().get_run(run_id).data.tags["composability.key"], "float32", "cpu"
    )
    assert expected is not None
    assert LM.load(folder).fingerprint() == expected[0].fingerprint()
    assert load_checkpoint(run_id, 1) == folder
    assert not torch.equal(
        LM.load(folder).model.model.layers[4].mlp.down_proj.weight,
        LM.load(MODEL).model.model.layers[4].mlp.down_proj.weight,
    )


def test_what_cannot_be_had_is_one_line(
    changed: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="no run has the id 'nobody'"):
        load_checkpoint("nobody", 1)
    with pytest.raises(InvalidInput, match=r"step must be 1 to 3 in run .*, but got 4"):
        load_checkpoint(changed, 4)
    with pytest.raises(InvalidInput, match="it exists"):
        load_checkpoint(changed, 1, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"cannot write to .*file/folder"):
        load_checkpoint(changed, 1, tmp_path / "file" / "folder")
    base = run("none", cache=checkpoints)
    with pytest.raises(InvalidInput, match=f"run {base} is no composition of interventions"):
        load_checkpoint(base, 1)
    shutil.rmtree(logged(changed))
    MlflowClient().set_tag(changed, "composability.key", "of another version")
    with pytest.raises(InvalidInput, match="was not logged whole, and cannot be computed again"):
        load_checkpoint(changed, 1, checkpoints=Checkpoints(tmp_path / "empty"))


def test_the_command_writes_the_folder(
    changed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["restore", changed, "2", str(out)]) == 0
    assert LM.load(out).model is not None
    assert str(out) in capsys.readouterr().out
    wrong = {
        "it exists": [changed, "2", str(out)],
        "'x' is not a valid integer": [changed, "x", "y"],
        "Missing argument": [],
    }
    for message, arguments in wrong.items():
        assert main(["restore", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_the_name_of_before_still_restores_with_a_warning(
    changed: str, checkpoints: Checkpoints
) -> None:
    expected = load_checkpoint(changed, 1, checkpoints=checkpoints)
    with pytest.warns(DeprecationWarning, match="load is now load_checkpoint"):
        folder = load(changed, 1)
    assert sha256(folder / "model.safetensors") == sha256(expected / "model.safetensors")
    with pytest.raises(AttributeError, match="nothing"):
        _ = package.nothing


def test_a_stored_checkpoint_is_returned_as_it_is(
    changed: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    key = MlflowClient().get_run(changed).data.tags["composability.key"]
    shutil.rmtree(logged(changed))
    assert load_checkpoint(changed, 3, checkpoints=checkpoints) == checkpoints.path(key)
    copied = load_checkpoint(changed, 3, str(tmp_path / "new" / "folder"), checkpoints)
    assert copied == tmp_path / "new" / "folder"
    assert damaged_files(copied) == []


def test_a_damaged_whole_checkpoint_is_computed_again_with_a_warning(
    local_store: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    run_id = run("magnitude", checkpoints="all", cache=checkpoints)
    flip_last_byte(logged(run_id) / "1-magnitude" / "model.safetensors")
    with pytest.warns(UserWarning, match=r"damaged \(model.safetensors\): computed again"):
        folder = load_checkpoint(run_id, 1, tmp_path / "out", Checkpoints(tmp_path / "empty"))
    assert damaged_files(folder) == []
