"""Restoring from artifacts that somebody has changed: nothing foreign is read, run or reported."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from composability.command import main
from interventions.errors import InvalidInput
from interventions.files import set_read_only
from tests.tracking.checkpoints.damage import zero_weights
from tests.tracking.checkpoints.test_restore import logged
from tests.tracking.recorded import history
from tracking import schema
from tracking.checkpoints import load_checkpoint
from tracking.checkpoints.integrity import MANIFEST, content_checksum, damaged_files, sha256
from tracking.checkpoints.store import Checkpoints
from tracking.run import run

STEPS = "magnitude(sparsity=0.5) | rtn"


@pytest.fixture
def changed(local_store: str, checkpoints: Checkpoints) -> str:
    """A run of two steps that logged what changed."""
    return unlinked(run(STEPS, checkpoints="changed", cache=checkpoints))


@pytest.fixture
def whole(local_store: str, checkpoints: Checkpoints) -> str:
    """A run of two steps that logged full folders."""
    return unlinked(run(STEPS, checkpoints="all", cache=checkpoints))


def unlinked(run_id: str) -> str:
    """Make sure that no artifact shares its bytes with the cache, and that all can be changed."""
    folder = logged(run_id)
    shutil.copytree(folder, folder.with_name("copy"))
    shutil.rmtree(folder)
    folder.with_name("copy").rename(folder)
    for checkpoint in folder.iterdir():
        set_read_only(checkpoint, read_only=False)
    return run_id


def fit_changes(folder: Path, whole: Path) -> None:
    """Make what changed lead to another checkpoint, and its sums fit."""
    changes = json.loads((folder / "changes.json").read_text())
    for name in changes["files"]:
        changes["files"][name]["sha256"] = sha256(whole / name)
    (folder / "changes.json").write_text(json.dumps(changes))
    shutil.copy(whole / MANIFEST, folder)


def checksum_tags(run_id: str) -> dict[str, str]:
    tags = MlflowClient().get_run(run_id).data.tags
    return {name: tag for name, tag in tags.items() if name.startswith(schema.CHECKSUM)}


def test_a_run_records_a_checksum_of_every_checkpoint_that_it_logs(
    changed: str, whole: str, checkpoints: Checkpoints
) -> None:
    tags = checksum_tags(whole)
    assert list(tags) == [schema.checksum_tag(1), schema.checksum_tag(2)]
    assert tags == checksum_tags(changed)
    key = MlflowClient().get_run(whole).data.tags[schema.KEY]
    assert tags[schema.checksum_tag(2)] == content_checksum(checkpoints.path(key))
    assert not checksum_tags(run("magnitude", checkpoints="none", cache=checkpoints))
    last = checksum_tags(run(STEPS, checkpoints="last", cache=checkpoints))
    assert last == {schema.checksum_tag(2): tags[schema.checksum_tag(2)]}


def test_zeroed_weights_with_a_fitting_manifest_are_neither_restored_nor_reported(
    whole: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    good = load_checkpoint(whole, 2, tmp_path / "good", Checkpoints(tmp_path / "one"))
    zero_weights(logged(whole) / "2-rtn")
    assert damaged_files(logged(whole) / "2-rtn") == []
    empty_cache = Checkpoints(tmp_path / "two")
    with pytest.warns(UserWarning, match=r"step 2 of .* damaged \(it is not the checkpoint whose"):
        folder = load_checkpoint(whole, 2, checkpoints=empty_cache)
    assert sha256(folder / "model.safetensors") == sha256(good / "model.safetensors")
    again = run(STEPS, checkpoints="none", cache=empty_cache)
    client = MlflowClient()
    for metric in ("wikitext_ppl", "mmlu", "sparsity"):
        assert history(client, again, metric) == history(client, whole, metric)


def test_a_run_without_tags_is_restored_with_a_warning_but_its_checkpoint_gets_no_key(
    whole: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    """Runs of before there were tags: nothing tells whether the manifest is the recorded one."""
    client = MlflowClient()
    for tag in checksum_tags(whole):
        client.delete_tag(whole, tag)
    zero_weights(logged(whole) / "1-magnitude")
    empty_cache = Checkpoints(tmp_path / "empty")
    with pytest.warns(UserWarning, match=f"run {whole} recorded no checksum of step 1"):
        folder = load_checkpoint(whole, 1, checkpoints=empty_cache)
    assert folder.parent == empty_cache.folder and folder.name.startswith("restored-")
    again = run("magnitude(sparsity=0.5)", checkpoints="none", cache=empty_cache)
    assert client.get_run(again).data.tags[schema.REUSED_PREFIX] == "0"
    before = {step: value for step, value in history(client, whole, "mmlu").items() if step < 2}
    assert history(client, again, "mmlu") == before


def test_every_level_of_what_changed_is_verified(changed: str, tmp_path: Path) -> None:
    """The first step's changes lead to zeroed weights, and all sums beside them fit."""
    zeroed = load_checkpoint(changed, 1, tmp_path / "zeroed", Checkpoints(tmp_path / "one"))
    zero_weights(zeroed)
    changes = logged(changed) / "1-magnitude"
    shutil.copy(zeroed / "model.safetensors", changes)
    fit_changes(changes, zeroed)
    with pytest.warns(UserWarning, match=r"step 1 of .* damaged \(it is not the checkpoint whose"):
        load_checkpoint(changed, 2, tmp_path / "out", Checkpoints(tmp_path / "two"))
    assert damaged_files(tmp_path / "out") == []


def plant_link(folder: Path) -> None:
    (folder / "config.json").unlink(missing_ok=True)
    (folder / "config.json").symlink_to("/etc/hostname")


def rename_in_changes(name: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        changes = json.loads((folder / "changes.json").read_text())
        changes["files"][name] = changes["files"].pop("model.safetensors")
        (folder / "changes.json").write_text(json.dumps(changes))

    return plant


PLANTED: dict[str, Callable[[Path], object]] = {
    "a link": plant_link,
    "a pipe": lambda folder: os.mkfifo(folder / "pipe"),
    "a folder": lambda folder: (folder / "sub").mkdir(),
    "a foreign file": lambda folder: (folder / "adapter_config.json").write_text("{}"),
    "a malformed manifest": lambda folder: (folder / MANIFEST).write_text('{"sha256": 3}'),
    "malformed changes": lambda folder: (folder / "changes.json").write_text("[" * 10**5),
    "a name outside": rename_in_changes("../../planted.safetensors"),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_whatever_is_odd_about_an_artifact_is_damage(
    plant: Callable[[Path], object], changed: str, tmp_path: Path
) -> None:
    plant(logged(changed) / "1-magnitude")
    with pytest.warns(UserWarning, match=r"step 1 of run .* is damaged .*: computed again$"):
        folder = load_checkpoint(changed, 1, tmp_path / "out", Checkpoints(tmp_path / "empty"))
    assert damaged_files(folder) == []
    assert not list(tmp_path.rglob("planted*")) and not list(tmp_path.glob(".writing-*"))


def test_an_absolute_name_in_the_artifacts_writes_nothing(changed: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim.safetensors"
    victim.write_text("of the user")
    rename_in_changes(str(victim))(logged(changed) / "1-magnitude")
    with pytest.warns(UserWarning, match="is not the name of a file"):
        load_checkpoint(changed, 1, tmp_path / "out", Checkpoints(tmp_path / "empty"))
    assert victim.read_text() == "of the user"


@pytest.mark.parametrize("parent", [True, False])
def test_a_folder_of_artifacts_that_is_a_link_is_damage(
    parent: bool, whole: str, tmp_path: Path
) -> None:
    folder = logged(whole) if parent else logged(whole) / "1-magnitude"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match=rf"damaged \({folder.name} is a link\)"):
        load_checkpoint(whole, 1, tmp_path / "out", Checkpoints(tmp_path / "empty"))


def test_what_is_damaged_and_cannot_be_computed_again_is_one_line(
    whole: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "empty"))
    zero_weights(logged(whole) / "2-rtn")
    MlflowClient().set_tag(whole, schema.KEY, "of another version")
    assert main(["restore", whole, "2", str(tmp_path / "a" / "b" / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: step 2 of run") and "cannot be computed again" in error
    assert "is damaged (it is not the checkpoint" in error
    assert error.count("\n") == 1 and len(error) <= 400
    assert not (tmp_path / "a").exists()


def test_half_a_download_is_never_seen_at_the_target(
    whole: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target_exists: list[bool] = []
    real = download_artifacts

    def download(**arguments: str) -> str:
        target_exists.append((tmp_path / "deep" / "out").exists())
        return str(real(**arguments))

    monkeypatch.setattr("tracking.checkpoints.artifacts.download_artifacts", download)
    load_checkpoint(whole, 1, tmp_path / "deep" / "out", Checkpoints(tmp_path / "one"))
    assert target_exists == [False]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert (tmp_path / "deep" / "out").stat().st_mode & 0o700 == 0o700

    def appears_meanwhile(**arguments: str) -> str:
        (tmp_path / "late").mkdir()
        (tmp_path / "late" / "note.txt").write_text("of the user")
        return str(real(**arguments))

    monkeypatch.setattr("tracking.checkpoints.artifacts.download_artifacts", appears_meanwhile)
    with pytest.raises(InvalidInput, match=r"cannot write to .*late'?: it exists"):
        load_checkpoint(whole, 1, tmp_path / "late", Checkpoints(tmp_path / "one"))
    assert [path.name for path in (tmp_path / "late").iterdir()] == ["note.txt"]


def test_a_cached_checkpoint_that_is_not_the_recorded_one_is_not_given(
    whole: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    """Such as one that other code computed under the same key."""
    key = MlflowClient().get_run(whole).data.tags[schema.KEY]
    empty_cache = Checkpoints(tmp_path / "cache")
    shutil.copytree(checkpoints.path(key), empty_cache.path(key))
    assert load_checkpoint(whole, 2, checkpoints=empty_cache) == empty_cache.path(key)
    zero_weights(empty_cache.path(key))
    folder = load_checkpoint(whole, 2, checkpoints=empty_cache)
    assert folder.name.startswith("restored-")
    assert content_checksum(folder) == content_checksum(checkpoints.path(key))
