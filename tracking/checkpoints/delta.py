"""A checkpoint as what differs from the one before it: the tensors that changed, the files that are others.

``changes.json`` lists every file of the full checkpoint with its checksum, and of every weight file the order of its
tensors, so that the full folder can be written again, byte for byte.
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
from tracking.checkpoints.store import MANIFEST, sha256

CHANGES = "changes.json"
_WEIGHTS = ".safetensors"


def write(parent: Path, child: Path, out: Path) -> None:
    """Write what of the checkpoint ``child`` is not in ``parent`` into the folder ``out``, one file at a time."""
    before = _places(parent)
    files: dict[str, Any] = {}
    for path in sorted(child.iterdir()):
        if path.name == MANIFEST:
            shutil.copy2(path, out)
            continue
        files[path.name] = {"sha256": sha256(path)}
        if path.suffix == _WEIGHTS:
            with safe_open(path, "pt") as opened:
                names = list(opened.keys())
                differing = {
                    name: t
                    for name in names
                    if not _same(t := opened.get_tensor(name), name, before)
                }
                files[path.name] |= {"metadata": opened.metadata(), "tensors": names}
            if differing:
                save_file(differing, out / path.name)
        elif (
            not (parent / path.name).exists()
            or sha256(parent / path.name) != files[path.name]["sha256"]
        ):
            shutil.copy2(path, out)
    manifest = json.loads((parent / MANIFEST).read_text())
    (out / CHANGES).write_text(json.dumps({"parent": manifest["key"], "files": files}, indent=1))


def assemble(parent: Path, changed: Path, out: Path) -> None:
    """Write the full checkpoint into ``out``, from the one before it and what ``write`` wrote.

    Raises:
        InvalidInput: a file does not come to its recorded checksum.
    """
    recorded = json.loads((changed / CHANGES).read_text())
    before = _places(parent)
    out.mkdir(parents=True, exist_ok=True)
    for name, file in recorded["files"].items():
        if "tensors" in file:
            found = _tensors(changed / name, before, file["tensors"])
            save_file(found, out / name, metadata=file["metadata"])
        else:
            own = changed / name
            shutil.copy2(own if own.exists() else parent / name, out / name)
        if sha256(out / name) != file["sha256"]:
            raise InvalidInput(f"{name} does not come to its recorded checksum")
    shutil.copy2(changed / MANIFEST, out)


def _places(folder: Path) -> dict[str, Path]:
    """Tensor name -> the weight file that it is in."""
    places: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*{_WEIGHTS}")):
        with safe_open(path, "pt") as opened:
            places |= dict.fromkeys(opened.keys(), path)
    return places


def _tensor(name: str, path: Path) -> Tensor:
    with safe_open(path, "pt") as opened:
        tensor: Tensor = opened.get_tensor(name)
    return tensor


def _same(tensor: Tensor, name: str, before: Mapping[str, Path]) -> bool:
    if name not in before:
        return False
    old = _tensor(name, before[name])
    same_kind = old.dtype == tensor.dtype and old.shape == tensor.shape
    return same_kind and torch.equal(
        old.flatten().view(torch.uint8), tensor.flatten().view(torch.uint8)
    )


def _tensors(changed: Path, before: Mapping[str, Path], names: list[str]) -> dict[str, Tensor]:
    own = {}
    if changed.exists():
        with safe_open(changed, "pt") as opened:
            own = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    return {name: own[name] if name in own else _tensor(name, before[name]) for name in names}
