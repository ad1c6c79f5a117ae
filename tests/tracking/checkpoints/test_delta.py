"""What differs between two checkpoints, and the whole put together again."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from interventions.errors import InvalidInput
from tests.tracking.checkpoints.damage import flip_last_byte
from tracking.checkpoints.delta import assemble_checkpoint, changes_aside, write_changes
from tracking.checkpoints.integrity import (
    MANIFEST,
    content_checksum,
    damaged_files,
    disk_is_full,
    sha256,
)

BEFORE = {
    "a": torch.zeros(2, 2),
    "b": torch.ones(3),
    "c": torch.tensor([float("nan")]),
    "d": torch.zeros(2, dtype=torch.float16),
}


def checkpoint(folder: Path, tensors: dict[str, Tensor], config: str = "{}") -> Path:
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(config)
    checksums = {path.name: sha256(path) for path in folder.iterdir()}
    (folder / MANIFEST).write_text(json.dumps({"key": folder.name, "sha256": checksums}))
    return folder


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "before", BEFORE)


def changes_of(before: Path, after: Path, out: Path) -> set[str]:
    """Write the changes; return the names of the tensors among them."""
    out.mkdir()
    write_changes(before, after, out)
    weights = out / "model.safetensors"
    return set(load_file(weights)) if weights.exists() else set()


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("a", torch.tensor([[0.0, 0.0], [0.0, 1.0]])),
        ("a", torch.tensor([[0.0, 0.0], [0.0, -0.0]])),  # equal, but other bytes
        ("a", torch.zeros(4)),  # another shape
        ("b", torch.ones(3, dtype=torch.bfloat16)),  # another type
        ("d", torch.zeros(2, dtype=torch.bfloat16)),  # another type with the same bytes
        ("new", torch.zeros(1)),
    ],
)
def test_only_tensors_with_other_bytes_are_written_and_the_whole_comes_back(
    name: str, tensor: Tensor, before: Path, tmp_path: Path
) -> None:
    after = checkpoint(tmp_path / "after", {**BEFORE, name: tensor})
    assert changes_of(before, after, tmp_path / "changes") == {name}
    assert not (tmp_path / "changes" / "config.json").exists()
    assemble_checkpoint(before, tmp_path / "changes", tmp_path / "whole")
    for path in after.iterdir():
        assert (tmp_path / "whole" / path.name).read_bytes() == path.read_bytes()


def test_where_nothing_changed_no_weights_are_written(before: Path, tmp_path: Path) -> None:
    after = checkpoint(tmp_path / "after", BEFORE, config='{"changed": true}')
    assert changes_of(before, after, tmp_path / "changes") == set()
    assert (tmp_path / "changes" / "config.json").read_text() == '{"changed": true}'
    changes = json.loads((tmp_path / "changes" / "changes.json").read_text())
    assert changes["parent"] == "before"
    assemble_checkpoint(before, tmp_path / "changes", tmp_path / "whole")
    assert damaged_files(tmp_path / "whole") == []


def test_a_whole_that_is_not_the_recorded_one_is_refused(before: Path, tmp_path: Path) -> None:
    after = checkpoint(tmp_path / "after", {**BEFORE, "b": torch.zeros(3)})
    changes_of(before, after, tmp_path / "changes")
    flip_last_byte(before / "config.json")
    with pytest.raises(InvalidInput, match=r"config.json does not come to its recorded checksum"):
        assemble_checkpoint(before, tmp_path / "changes", tmp_path / "whole")


def test_damaged_and_missing_files_are_named(before: Path) -> None:
    assert damaged_files(before) == []
    flip_last_byte(before / "config.json")
    assert damaged_files(before) == ["config.json"]
    (before / "config.json").unlink()
    assert "No such file" in damaged_files(before)[0]
    (before / MANIFEST).write_text("{}")
    assert damaged_files(before) == ["manifest.json has no key or no 'sha256'"]
    (before / MANIFEST).unlink()
    assert damaged_files(before) == ["manifest.json is not a regular file"]


@pytest.mark.parametrize("recorded", ["true", "false"])
def test_a_tokenizers_config_that_says_whether_the_hub_was_offline_comes_back(
    recorded: str, tmp_path: Path
) -> None:
    """As of runs of before 0.2: the base model's is written on another machine."""

    def with_tokenizer(name: str, flag: str) -> Path:
        folder = checkpoint(tmp_path / name, BEFORE)
        config = f'{{"is_local": {flag}, "local_files_only": {flag}, "a": false}}'
        (folder / "tokenizer_config.json").write_text(config)
        sums = {path.name: sha256(path) for path in folder.iterdir() if path.name != MANIFEST}
        (folder / MANIFEST).write_text(json.dumps({"key": name, "sha256": sums}))
        return folder

    parent = with_tokenizer("parent", recorded)
    after = with_tokenizer("after", recorded)
    assert changes_of(parent, after, tmp_path / "changes") == set()
    shutil.rmtree(parent)
    parent = with_tokenizer("parent", "false" if recorded == "true" else "true")
    assemble_checkpoint(parent, tmp_path / "changes", tmp_path / "whole")
    assert damaged_files(tmp_path / "whole", "after") == []


FOREIGN_NAMES = [
    "",
    ".",
    "..",
    "/etc/planted",
    "../planted",
    "sub/planted",
    "sub\\planted",
    "a\0b",
    "line\nend",
    "manifest.json",
    "\ud800",
    "long" * 64,
]


@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_recorded_names_never_lead_out_of_the_folder(
    name: str, before: Path, tmp_path: Path
) -> None:
    after = checkpoint(tmp_path / "after", BEFORE, config='{"changed": true}')
    changes_of(before, after, tmp_path / "changes")
    changes = json.loads((tmp_path / "changes" / "changes.json").read_text())
    changes["files"] = {name: changes["files"]["config.json"]}
    (tmp_path / "changes" / "changes.json").write_text(json.dumps(changes))
    with pytest.raises(InvalidInput, match="is not the name of a file in the folder") as refusal:
        assemble_checkpoint(before, tmp_path / "changes", tmp_path / "whole")
    assert len(str(refusal.value)) <= 400 and "\n" not in str(refusal.value)
    assert {path.name for path in tmp_path.iterdir()} == {"before", "after", "changes"}
    manifest = {"key": "before", "sha256": {name: "0" * 64}}
    (before / MANIFEST).write_text(json.dumps(manifest))
    assert "is not the name of a file in the folder" in damaged_files(before)[0]


def test_an_absolute_name_does_not_write_over_a_file_that_exists(
    before: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("of the user")
    changed = tmp_path / "changes"
    changed.mkdir()
    shutil.copy(before / MANIFEST, changed)
    entry = {"sha256": sha256(before / "config.json"), "tensors": ["a"], "metadata": None}
    (changed / "changes.json").write_text(json.dumps({"files": {str(victim): entry}}))
    with pytest.raises(InvalidInput):
        assemble_checkpoint(before, changed, tmp_path / "whole")
    assert victim.read_text() == "of the user"
    (tmp_path / "whole").mkdir()
    with pytest.raises((InvalidInput, FileExistsError)):
        assemble_checkpoint(before, changed, tmp_path / "whole")


SUM = "0" * 64
MALFORMED = {
    "no JSON": "{",
    "no object": "[]",
    "no files": "{}",
    "files are a list": '{"files": [1]}',
    "an entry is a number": '{"files": {"a": 1}}',
    "no checksum": '{"files": {"a": {}}}',
    "a checksum of another type": '{"files": {"a": {"sha256": 1}}}',
    "deep": "[" * 100_000,
    "digits": '{"files": ' + "9" * 10_000 + "}",
    "tensors of another type": f'{{"files": {{"a": {{"sha256": "{SUM}", "tensors": 3}}}}}}',
    "tensors twice": f'{{"files": {{"a": {{"sha256": "{SUM}", "tensors": ["b", "b"], '
    '"metadata": null}}}',
    "no metadata": f'{{"files": {{"a": {{"sha256": "{SUM}", "tensors": []}}}}}}',
    "metadata of another type": f'{{"files": {{"a": {{"sha256": "{SUM}", "tensors": [], '
    '"metadata": {"format": 1}}}}',
    "an unknown tensor": f'{{"files": {{"a": {{"sha256": "{SUM}", "tensors": ["z"], '
    '"metadata": null}}}',
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_list_of_changes_is_refused_in_one_line(
    text: str, before: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changes"
    changed.mkdir()
    shutil.copy(before / MANIFEST, changed)
    (changed / "changes.json").write_text(text)
    with pytest.raises(InvalidInput) as refusal:
        assemble_checkpoint(before, changed, tmp_path / "whole")
    assert len(str(refusal.value)) <= 400 and "\n" not in str(refusal.value)


def test_a_list_of_changes_that_is_a_link_or_too_large_is_refused(
    before: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changes"
    changed.mkdir()
    (tmp_path / "real.json").write_text('{"files": {}}')
    (changed / "changes.json").symlink_to(tmp_path / "real.json")
    with pytest.raises(InvalidInput, match=r"changes\.json is a link"):
        assemble_checkpoint(before, changed, tmp_path / "whole")
    (changed / "changes.json").unlink()
    with (changed / "changes.json").open("wb") as file:
        file.truncate(2**27)  # takes no room
    with pytest.raises(InvalidInput, match=r"changes\.json has \d+ bytes, over"):
        assemble_checkpoint(before, changed, tmp_path / "whole")


def test_what_does_not_belong_to_what_changed_is_refused(before: Path, tmp_path: Path) -> None:
    after = checkpoint(tmp_path / "after", BEFORE, config='{"changed": true}')
    changes_of(before, after, tmp_path / "changes")
    (tmp_path / "changes" / "adapter_config.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"'adapter_config\.json' does not belong to it"):
        assemble_checkpoint(before, tmp_path / "changes", tmp_path / "whole")
    (tmp_path / "changes" / "adapter_config.json").unlink()
    plant_link(tmp_path / "changes")
    with pytest.raises(InvalidInput, match=r"'config\.json' is no plain file"):
        assemble_checkpoint(before, tmp_path / "changes", tmp_path / "whole")


def plant_link(folder: Path) -> None:
    (folder / "config.json").rename(folder.parent / "elsewhere.json")
    (folder / "config.json").symlink_to(folder.parent / "elsewhere.json")


def plant_pipe(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


PLANTED: dict[str, Callable[[Path], object]] = {
    "an adapter": lambda folder: (folder / "adapter_config.json").write_text("{}"),
    "code": lambda folder: (folder / "modeling_x.py").write_text("import os"),
    "a folder": lambda folder: (folder / "sub").mkdir(),
    "a link to the same content": plant_link,
    "a pipe": plant_pipe,
    "another key": lambda folder: (folder / MANIFEST).write_text(
        (folder / MANIFEST).read_text().replace('"before"', '"another"')
    ),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_what_does_not_belong_to_a_checkpoint_is_damage(
    plant: Callable[[Path], object], before: Path
) -> None:
    assert damaged_files(before, "before") == []
    plant(before)
    assert len(damaged_files(before, "before")) == 1


def test_a_link_in_the_place_of_a_checkpoint_is_damage(before: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(before)
    assert damaged_files(tmp_path / "link") == ["link is a link"]


def test_the_checksum_of_a_checkpoint_is_of_all_names_and_contents(
    before: Path, tmp_path: Path
) -> None:
    checksum = content_checksum(before)
    copied = checkpoint(tmp_path / "same", BEFORE)
    assert content_checksum(copied) == checksum and len(checksum) == 64
    assert content_checksum(checkpoint(tmp_path / "b", BEFORE, "[]")) != checksum
    manifest = json.loads((copied / MANIFEST).read_text())
    manifest["sha256"]["renamed.json"] = manifest["sha256"].pop("config.json")
    (copied / MANIFEST).write_text(json.dumps(manifest))
    assert content_checksum(copied) != checksum


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(28, "any text"), True),
        (OSError(122, "any text"), True),
        (OSError(5, "Input/output error"), False),
        (RuntimeError("I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("Disk quota exceeded"), True),
        (RuntimeError("out of luck"), False),
    ],
)
def test_a_full_disk_is_told_by_number_or_text(error: Exception, full: bool) -> None:
    assert disk_is_full(error) is full


def test_changes_lie_in_the_cache_for_a_while_or_elsewhere_where_they_cannot(
    before: Path, tmp_path: Path
) -> None:
    after = checkpoint(tmp_path / "after", {**BEFORE, "b": torch.zeros(3)})
    cache, no_folder = tmp_path / "cache", tmp_path / "file"
    no_folder.write_text("")
    for place, is_in_cache in ((cache, True), (no_folder / "cache", False)):
        with ExitStack() as stack:
            aside = changes_aside(before, after, place, stack)
            assert aside.is_relative_to(cache) == is_in_cache
            assert set(load_file(aside / "model.safetensors")) == {"b"}
            files = json.loads((aside / "changes.json").read_text())["files"]
            assert list(files) == ["config.json", "model.safetensors"]
        assert not aside.exists()


def test_weights_without_metadata_come_back_into_a_folder_of_a_folder(
    before: Path, tmp_path: Path
) -> None:
    after = checkpoint(tmp_path / "after", BEFORE)
    save_file({**BEFORE, "a": torch.ones(2, 2)}, after / "model.safetensors")
    checksums = {name: sha256(after / name) for name in ("model.safetensors", "config.json")}
    (after / MANIFEST).write_text(json.dumps({"key": "after", "sha256": checksums}))
    assert changes_of(before, after, tmp_path / "changes") == {"a"}
    assert list(json.loads((tmp_path / "changes" / "changes.json").read_text())["files"]) == [
        *("config.json", "model.safetensors")
    ]
    whole = tmp_path / "deep" / "deeper" / "whole"
    assemble_checkpoint(before, tmp_path / "changes", whole)
    for path in after.iterdir():
        assert (whole / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "odd", [{"tensors": ["a", 3]}, {"metadata": {"format": "pt", "size": 3}}, {"metadata": 1}]
)
def test_one_name_or_word_that_is_no_text_is_enough_to_refuse_a_list(
    odd: dict[str, object], before: Path, tmp_path: Path
) -> None:
    after = checkpoint(tmp_path / "after", {**BEFORE, "b": torch.zeros(3)})
    changes_of(before, after, tmp_path / "changes")
    path = tmp_path / "changes" / "changes.json"
    changes = json.loads(path.read_text())
    changes["files"]["model.safetensors"] |= odd
    path.write_text(json.dumps(changes))
    with pytest.raises(InvalidInput, match="does not list the tensors of"):
        assemble_checkpoint(before, tmp_path / "changes", tmp_path / "whole")
