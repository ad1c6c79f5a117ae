"""Write a checkpoint's folder: the model's files, and a manifest of their checksums."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from interventions.criteria.cost import Cost
from interventions.files import set_read_only, write_whole
from interventions.lm import LM
from interventions.tensor_files import recorded_checksums
from tracking.checkpoints.integrity import MANIFEST, sha256


def write_checkpoint(folder: Path, key: str, lm: LM, spent: Cost) -> None:
    """Write a model with a manifest of its files' checksums; the files are read-only.

    Args:
        folder: is made.
        key: the checkpoint's.
        lm: the model.
        spent: what it cost to compute.

    Raises:
        OSError: there is no room or no permission.
    """
    with recorded_checksums() as written:
        lm.save(folder)
    checksums = {path.name: written.get(path) or sha256(path) for path in sorted(folder.iterdir())}
    manifest = {"key": key, "sha256": checksums, "spent": dataclasses.asdict(spent)}
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1))
    set_read_only(folder)
