"""Checkpoints as what changed, and the full folder of any step of a run."""

import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import torch
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM

from composability.command import main
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.tracking.checkpoints.damage import flip_last_byte, zero_weights
from tracking import checkpoints as package
from tracking import store
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
    """FT trains three down-projections of 128 x 512 float32; Wanda changes all linear layers."""
    three_matrices = 3 * 128 * 512 * 4
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


def test_what_is_computed_again_must_be_what_the_run_recorded(
    changed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A cache whose weights are zeroed, with fitting manifests, leads to another checkpoint."""
    cache = Checkpoints(tmp_path / "cache")
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(cache.folder))
    flip_last_byte(logged(changed) / "2-ft" / "model.safetensors")
    with pytest.warns(UserWarning, match="computed again"):
        load_checkpoint(changed, 2, tmp_path / "good", cache)
    stored = [path.parent for path in cache.folder.glob("*/manifest.json")]
    assert len(stored) >= 2
    for folder in stored:
        zero_weights(folder)
    assert main(["restore", changed, "2", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "is damaged (" in error and "is not the checkpoint whose checksum the run" in error
    assert (
        "another processor rounds otherwise, or the cache was changed (remove '" in error
        and len(error) <= 400
    )
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()
    with pytest.raises(InvalidInput, match="what was computed again is not the checkpoint"):
        load_checkpoint(changed, 2, checkpoints=cache)


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
    base = run("none", cache=checkpoints)
    with pytest.raises(InvalidInput, match=f"run {base} is no composition of interventions"):
        load_checkpoint(base, 1)
    shutil.rmtree(logged(changed))
    MlflowClient().set_tag(changed, "composability.key", "of another version")
    with pytest.raises(InvalidInput, match="was not logged whole, and cannot be computed again"):
        load_checkpoint(changed, 1, checkpoints=Checkpoints(tmp_path / "empty"))


def test_a_folder_that_cannot_be_made_is_one_line_and_nothing_is_left(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    refused: dict[object, str] = {
        tmp_path: "it exists",
        tmp_path / "file": "it exists",
        tmp_path / "dangling": "it exists",
        tmp_path / "file" / "folder": r"cannot write to .*file/folder",
        tmp_path / "new" / ("a" * 300): "File name too long",
        tmp_path / "new" / "..": "cannot write to",
        tmp_path / ("a/" * 3000): "of at most 4000 bytes",
        "/proc/x": "cannot write to '/proc/x'",
        "": "must be the path of a new folder",
        "a\0b": "must be the path of a new folder",
        "a\nb": "must be the path of a new folder",
        "\udcff": "must be the path of a new folder",
    }
    before = sorted(tmp_path.iterdir())
    for folder, message in refused.items():
        with pytest.raises(InvalidInput, match=message) as refusal:
            load_checkpoint(changed, 1, folder)  # type: ignore[arg-type]
        assert len(str(refusal.value)) <= 400 and "\n" not in str(refusal.value)
    assert sorted(tmp_path.iterdir()) == before

    def read_only(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", read_only)
    with pytest.raises(InvalidInput, match=r"cannot write to .*out'?: Permission denied"):
        load_checkpoint(changed, 1, tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, "a"), "run_id must be a string, but got 5"),
        (("abc", True), "step must be an integer or None, but got True"),
        (("abc", "1"), "step must be an integer or None, but got '1'"),
        (("abc", 1.0), "step must be an integer"),
        ((None, 1), "run_id must be a string"),
        (("abc", 1, 3), "folder must be"),
        (("abc", 1, b"bytes"), "folder must be"),
        (("abc", 1, None, "cache"), "checkpoints must be"),
        (("../../x", 1), "no run has the id '../../x'"),
        (("a" * 10_000, 1), "no run has the id 'aaa"),
        (("a\0b", 1), "no run has the id"),
        (("", 1), "no run has the id ''"),
        (("abc", 10**5000), "no run has the id 'abc'"),
    ],
    ids=range(13),
)
def test_wrong_types_and_odd_ids_are_one_line(
    arguments: tuple[Any, ...], message: str, local_store: str, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InvalidInput, match=message) as refusal:
        load_checkpoint(*arguments)
    assert len(str(refusal.value)) <= 400 and "\n" not in str(refusal.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_run_whose_params_are_odd_is_one_line(
    local_store: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    client = MlflowClient()
    odd: list[tuple[dict[str, str], str]] = [
        ({"step1": "../../x", "composition": "wanda"}, "is no composition of interventions"),
        ({"step1": "wanda", "seed": "x"}, "the param seed of run .* must be an integer"),
        ({"step1": "wanda", "seed": "0", "edit_batch": "0"}, "."),
    ]
    for params, message in odd:
        run_id = client.create_run(store.ensure_experiment()).info.run_id
        for name, value in params.items():
            client.log_param(run_id, name, value)
        with pytest.raises(InvalidInput, match=message) as refusal:
            load_checkpoint(run_id, 1, tmp_path / "out", checkpoints)
        assert len(str(refusal.value)) <= 400 and "\n" not in str(refusal.value)
        assert not (tmp_path / "out").exists()


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
        "cannot write to '/proc/x'": [changed, "1", "/proc/x"],
        "step must be 1 to 3": [changed, "9" * 40, "y"],
        "no run has the id": ["a" * 5000, "1", "y"],
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
