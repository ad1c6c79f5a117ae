"""Damage a file, for tests that it is noticed."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tracking.checkpoints.integrity import MANIFEST, sha256


def flip_last_byte(path: Path, in_place: bool = False) -> None:
    """Change a file; in all places where the same file is linked, or in this one only."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    if in_place:
        path.chmod(0o600)  # a checkpoint's files are read-only
    else:
        path.unlink()  # an artifact is a link of a file in the cache, which other tests use
    path.write_bytes(content)


def zero_weights(folder: Path) -> None:
    """Zero all weights, and make the manifest fit."""
    weights = folder / "model.safetensors"
    cut_links(folder)
    tensors = {name: torch.zeros_like(tensor) for name, tensor in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})
    fit_manifest(folder)


def cut_links(folder: Path) -> None:
    """Make the files of a folder its own, and writable: they may be links into a cache."""
    for path in folder.iterdir():
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)


def fit_manifest(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"] = {
        path.name: sha256(path) for path in folder.iterdir() if path.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
