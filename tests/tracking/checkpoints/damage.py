"""Damage a file, for tests that it is noticed."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from interventions.files import set_read_only
from tracking.checkpoints.integrity import MANIFEST, sha256


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o600)  # a checkpoint's files are read-only
    path.write_bytes(content)


def zero_weights(folder: Path) -> None:
    """Zero all weights, and make the manifest fit."""
    weights = folder / "model.safetensors"
    set_read_only(folder, read_only=False)
    tensors = {name: torch.zeros_like(tensor) for name, tensor in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})
    fit_manifest(folder)


def fit_manifest(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"] = {
        path.name: sha256(path) for path in folder.iterdir() if path.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
