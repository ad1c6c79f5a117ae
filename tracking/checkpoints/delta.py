"""Write a checkpoint as what differs from the one before it, and put it together again.

What differs is the tensors that changed and the files with other content. ``changes.json`` lists
every file of the full checkpoint with its checksum, and of every weight file the order of its
tensors, so that the full folder can be written again byte for byte.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Mapping, Set
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from interventions.aside import scratch_folder, whole_folder
from interventions.errors import InvalidInput, shown
from interventions.files import is_plain_file
from interventions.tensor_files import write_tensors
from tracking.checkpoints.integrity import (
    MANIFEST,
    check_entry,
    read_manifest,
    read_object,
    sha256,
)

CHANGES = "changes.json"
_TOKENIZER_CONFIG = "tokenizer_config.json"
_WEIGHTS = ".safetensors"


def write_changes(parent: Path, child: Path, out: Path) -> None:
    """Write what changed between two checkpoints, one file at a time.

    Args:
        parent: the folder of the checkpoint before; verified.
        child: the folder of the checkpoint after; verified.
        out: an existing folder to write to.
    """
    parent_files, parent_manifest = _files_of_tensors(parent), read_manifest(parent)
    files: dict[str, Any] = {}
    for name, checksum in sorted(read_manifest(child).checksums.items()):
        entry: dict[str, Any] = {"sha256": checksum}
        files[name] = entry
        if name.endswith(_WEIGHTS):
            entry |= _write_changed_tensors(child / name, parent_files, out / name)
        elif parent_manifest.checksums.get(name) != checksum:
            shutil.copyfile(child / name, out / name)
    shutil.copyfile(child / MANIFEST, out / MANIFEST)
    changes = {"parent": parent_manifest.key, "files": files}
    (out / CHANGES).write_text(json.dumps(changes, indent=1))


def changes_aside(parent: Path, child: Path, cache_folder: Path, stack: ExitStack) -> Path:
    """Write what changed between two checkpoints into a folder for a while.

    Args:
        parent: the folder of the checkpoint before; verified.
        child: the folder of the checkpoint after; verified.
        cache_folder: where the folder is to be; if that cannot be, it is a temporary one.
        stack: takes the folder away when it is closed.

    Returns:
        The folder.

    Raises:
        OSError: there is no room for it.
    """
    # the cache is likelier than another place to be on the artifacts' file system
    with suppress(OSError), ExitStack() as trial:
        aside = trial.enter_context(whole_folder(cache_folder))
        write_changes(parent, child, aside)
        stack.push(trial.pop_all())
        return aside
    aside = stack.enter_context(scratch_folder())
    write_changes(parent, child, aside)
    return aside


def assemble_checkpoint(parent: Path, changed: Path, out: Path) -> None:
    """Write the full checkpoint, from the one before it and what ``write_changes`` wrote.

    Nothing outside the three folders is read or written, whatever names are recorded, and no file
    is written over.

    Args:
        parent: the folder of the checkpoint before; verified.
        changed: a folder that ``write_changes`` wrote, or that somebody has changed since.
        out: the folder to write to; it is made.

    Raises:
        InvalidInput: what is recorded cannot be, or a file does not come to its checksum.
        FileExistsError: ``out`` exists.
    """
    entries = _read_entries(changed)
    _check_files(changed, {MANIFEST, CHANGES, *entries})
    parent_files = _files_of_tensors(parent)
    out.mkdir(parents=True)
    for name, entry in entries.items():
        if "tensors" in entry:
            tensors = _all_tensors(changed / name, parent_files, entry["tensors"])
            checksum = write_tensors(tensors, out / name, entry["metadata"])
        else:
            source = changed if (changed / name).exists() else parent
            # without its mode: the files of a stored checkpoint are read-only
            shutil.copyfile(source / name, out / name, follow_symlinks=False)
            if name == _TOKENIZER_CONFIG:
                _write_as_recorded(out / name, entry["sha256"])
            checksum = sha256(out / name)
        if checksum != entry["sha256"]:
            raise InvalidInput(f"{name} does not come to its recorded checksum")
    shutil.copyfile(changed / MANIFEST, out / MANIFEST, follow_symlinks=False)


def _write_as_recorded(path: Path, checksum: str) -> None:
    """Give a tokenizer's config the two flags with which it comes to its checksum, if any do.

    Before 0.2 it said whether the hub was offline and whether the model came from a folder, so that
    the base model's differs from machine to machine.
    """
    content = path.read_bytes()
    for flags in itertools.product((b"true", b"false"), repeat=2):
        variant = content
        for name, flag in zip((b"is_local", b"local_files_only"), flags, strict=True):
            variant = re.sub(rb'("%b": )(?:true|false)' % name, rb"\1" + flag, variant)
        if hashlib.sha256(variant).hexdigest() == checksum:
            path.write_bytes(variant)


def _read_entries(changed: Path) -> dict[str, dict[str, Any]]:
    """Return, by name, what ``changes.json`` says of every file; checked."""
    entries = read_object(changed / CHANGES).get("files")
    if not isinstance(entries, dict):
        raise InvalidInput(f"{CHANGES} lists no files")
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise InvalidInput(f"{CHANGES} says nothing of {shown(name, 60)}")
        check_entry(name, entry.get("sha256"))
        if "tensors" in entry and not (
            _is_list_of_names(entry["tensors"]) and _is_metadata(entry.get("metadata", 0))
        ):
            raise InvalidInput(f"{CHANGES} does not list the tensors of {shown(name, 60)}")
    return entries


def _is_list_of_names(names: object) -> bool:
    return (
        isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
    )


def _is_metadata(metadata: object) -> bool:
    if metadata is None:  # of a file that was written without
        return True
    return isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())


def _check_files(folder: Path, expected: Set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in expected:
            raise InvalidInput(f"{shown(path.name, 60)} does not belong to it")
        if not is_plain_file(path):
            raise InvalidInput(f"{shown(path.name, 60)} is no plain file")


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
        write_tensors(changed, out)
    return {"metadata": metadata, "tensors": names}


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
    missing = set(names) - set(tensors) - set(parent_files)
    if missing:
        raise InvalidInput(f"tensor {shown(min(missing), 60)} is in neither checkpoint")
    # the order of the names decides the bytes of the file
    return {
        name: tensors[name] if name in tensors else _read_tensor(name, parent_files[name])
        for name in names
    }
