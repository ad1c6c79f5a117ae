"""What differs between two checkpoints, and the whole put together again."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from interventions.errors import InvalidInput
from tests.tracking.checkpoints.damage import flip_last_byte
from tracking.checkpoints.delta import assemble_checkpoint, write_changes
from tracking.checkpoints.integrity import MANIFEST, damaged_files, disk_is_full, sha256

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
    assert damaged_files(before) == ["'sha256'"]


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
