"""Checkpoints as what changed, and the full folder of any step of a run."""

import shutil
from pathlib import Path
from urllib.parse import urlparse

import pytest
import torch
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM

from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.tracking.test_checkpoints import flip
from tracking.checkpoints import restore, store
from tracking.checkpoints.store import Checkpoints
from tracking.run import run


def logged(run_id: str) -> Path:
    """Where the run's checkpoints lie."""
    return Path(urlparse(MlflowClient().get_run(run_id).info.artifact_uri).path) / "checkpoints"


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


@pytest.fixture
def changed(local_store: str, kept: Checkpoints) -> str:
    """A run of three steps, the last a recompression, that logged what changed."""
    return run("wanda(sparsity=0.5) | ft(steps=3)", checkpoints="changed", cache=kept)


def test_what_changed_is_logged_and_the_full_folder_comes_back_byte_for_byte(
    changed: str, kept: Checkpoints, tmp_path: Path
) -> None:
    """FT trains three down-projections of 128 x 256 float32; Wanda changes every linear layer of the blocks."""
    three_matrices = 3 * 128 * 256 * 4
    assert three_matrices <= size(logged(changed) / "2-ft") < 1.05 * three_matrices
    assert size(logged(changed) / "1-wanda") < size(MODEL)
    tags = MlflowClient().get_run(changed).data.tags
    for step, name in ((1, "wanda"), (2, "ft"), (3, "wanda")):
        assert (logged(changed) / f"{step}-{name}" / "changes.json").exists()
        whole = restore.restore(
            changed, step, tmp_path / str(step), Checkpoints(tmp_path / "empty")
        )
        loaded = AutoModelForCausalLM.from_pretrained(whole)
        assert loaded.num_parameters() == LM.load(MODEL).model.num_parameters()
    original = kept.path(tags["composability.key"])
    for file in original.iterdir():
        assert file.read_bytes() == (tmp_path / "3" / file.name).read_bytes(), file.name


def test_a_damaged_artifact_is_computed_again_with_a_warning(
    changed: str, kept: Checkpoints, tmp_path: Path
) -> None:
    good = restore.restore(changed, 2, tmp_path / "good", Checkpoints(tmp_path / "one"))
    flip(logged(changed) / "2-ft" / "model.safetensors")
    with pytest.warns(UserWarning, match=r"step 2 of run .* is damaged .*computed again"):
        again = restore.restore(changed, 2, tmp_path / "again", Checkpoints(tmp_path / "two"))
    assert (again / "model.safetensors").read_bytes() == (good / "model.safetensors").read_bytes()


@pytest.mark.parametrize("policy", ["all", "none"])
def test_a_checkpoint_logged_whole_or_not_at_all_comes_back_too(
    policy: str, local_store: str, kept: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(kept.folder.parent / f"fresh-{policy}"))
    run_id = run("ft(steps=3)", checkpoints=policy, cache=kept)
    folder = store.load(run_id, 1)
    expected = kept.load(
        MlflowClient().get_run(run_id).data.tags["composability.key"], "float32", "cpu"
    )
    assert expected is not None
    assert LM.load(folder).fingerprint() == expected[0].fingerprint()
    assert store.load(run_id, 1) == folder
    assert not torch.equal(
        LM.load(folder).model.model.layers[4].mlp.down_proj.weight,
        LM.load(MODEL).model.model.layers[4].mlp.down_proj.weight,
    )


def test_what_cannot_be_had_is_one_line(changed: str, kept: Checkpoints, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no run has the id 'nobody'"):
        restore.restore("nobody", 1)
    with pytest.raises(InvalidInput, match=r"step must be 1 to 3 in run .*, but got 4"):
        restore.restore(changed, 4)
    with pytest.raises(InvalidInput, match="it exists"):
        restore.restore(changed, 1, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"cannot write to .*file/folder"):
        restore.restore(changed, 1, tmp_path / "file" / "folder")
    base = run("none", cache=kept)
    with pytest.raises(InvalidInput, match=f"run {base} is no composition of interventions"):
        restore.restore(base, 1)
    shutil.rmtree(logged(changed))
    MlflowClient().set_tag(changed, "composability.key", "of another version")
    with pytest.raises(InvalidInput, match="was not logged whole, and cannot be computed again"):
        restore.restore(changed, 1, kept=Checkpoints(tmp_path / "empty"))


def test_the_command_writes_the_folder(
    changed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "here"
    monkeypatch.setattr("sys.argv", ["restore", changed, "2", str(out)])
    assert restore.main() == 0
    assert LM.load(out).model is not None
    assert str(out) in capsys.readouterr().out
    assert restore.main() == 2
    assert "it exists" in capsys.readouterr().err
    for arguments, message in (
        ([changed, "x", "y"], "argument step: invalid int value: 'x'"),
        ([], "are required"),
    ):
        monkeypatch.setattr("sys.argv", ["restore", *arguments])
        assert restore.main() == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error and error.count("\n") == 1
