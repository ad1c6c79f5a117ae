"""Write a checkpoint as what differs from the one before it, and put it together again.

What differs is the tensors that changed and the files with other content. ``changes.json`` lists
every file of the full checkpoint with its checksum, and of every weight file the order of its
tensors, so that the full folder can be written again byte for byte.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from interventions.errors import InvalidInput
from tracking.checkpoints.integrity import MANIFEST, sha256

CHANGES = "changes.json"
_WEIGHTS = ".safetensors"


def write_changes(parent: Path, child: Path, out: Path) -> None:
    """Write what changed between two checkpoints, one file at a time.

    Args:
        parent: the folder of the checkpoint before.
        child: the folder of the checkpoint after.
        out: an existing folder to write to.
    """
    parent_files = _files_of_tensors(parent)
    files: dict[str, Any] = {}
    for path in sorted(child.iterdir()):
        if path.name == MANIFEST:
            shutil.copy2(path, out)
            continue
        entry: dict[str, Any] = {"sha256": sha256(path)}
        files[path.name] = entry
        if path.suffix == _WEIGHTS:
            entry |= _write_changed_tensors(path, parent_files, out / path.name)
        elif _differs(parent / path.name, entry["sha256"]):
            shutil.copy2(path, out)
    manifest = json.loads((parent / MANIFEST).read_text())
    changes = {"parent": manifest["key"], "files": files}
    (out / CHANGES).write_text(json.dumps(changes, indent=1))


def assemble_checkpoint(parent: Path, changed: Path, out: Path) -> None:
    """Write the full checkpoint, from the one before it and what ``write_changes`` wrote.

    Args:
        parent: the folder of the checkpoint before.
        changed: the folder that ``write_changes`` wrote.
        out: the folder to write to; it is made.

    Raises:
        InvalidInput: a file does not come to its recorded checksum.
    """
    changes = json.loads((changed / CHANGES).read_text())
    parent_files = _files_of_tensors(parent)
    out.mkdir(parents=True, exist_ok=True)
    for name, entry in changes["files"].items():
        if "tensors" in entry:
            tensors = _all_tensors(changed / name, parent_files, entry["tensors"])
            save_file(tensors, out / name, metadata=entry["metadata"])
        else:
            source = changed if (changed / name).exists() else parent
            shutil.copy2(source / name, out / name)
        if sha256(out / name) != entry["sha256"]:
            raise InvalidInput(f"{name} does not come to its recorded checksum")
    shutil.copy2(changed / MANIFEST, out)


def _files_of_tensors(folder: Path) -> dict[str, Path]:
    """Return, by the name of each tensor, the weight file that it is in."""
    files: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*{_WEIGHTS}")):
        with safe_open(path, "pt") as opened:
            files |= dict.fromkeys(opened.keys(), path)
    return files


def _write_changed_tensors(
    path: Path, parent_files: Mapping[str, Path], out: Path
) -> dict[str, Any]:
    """Write the tensors that changed, if any did; return what puts the file together again."""
    changed: dict[str, Tensor] = {}
    with safe_open(path, "pt") as opened:
        names = list(opened.keys())
        for name in names:
            tensor = opened.get_tensor(name)
            if not _is_unchanged(tensor, name, parent_files):
                changed[name] = tensor
        metadata = opened.metadata()
    if changed:
        save_file(changed, out)
    return {"metadata": metadata, "tensors": names}


def _differs(path: Path, checksum: str) -> bool:
    return not path.exists() or sha256(path) != checksum


def _is_unchanged(tensor: Tensor, name: str, parent_files: Mapping[str, Path]) -> bool:
    if name not in parent_files:
        return False
    before = _read_tensor(name, parent_files[name])
    if before.dtype != tensor.dtype or before.shape != tensor.shape:
        return False
    # bytes, because NaN differs from itself and 0.0 equals -0.0
    bytes_before, bytes_after = (t.flatten().view(torch.uint8) for t in (before, tensor))
    return torch.equal(bytes_before, bytes_after)


def _read_tensor(name: str, path: Path) -> Tensor:
    with safe_open(path, "pt") as opened:
        tensor: Tensor = opened.get_tensor(name)
    return tensor


def _all_tensors(
    changed: Path, parent_files: Mapping[str, Path], names: list[str]
) -> dict[str, Tensor]:
    tensors = {}
    if changed.exists():
        with safe_open(changed, "pt") as opened:
            changed_names = opened.keys()
            tensors = {name: opened.get_tensor(name) for name in changed_names}
    # the order of the names decides the bytes of the file
    return {
        name: tensors[name] if name in tensors else _read_tensor(name, parent_files[name])
        for name in names
    }
