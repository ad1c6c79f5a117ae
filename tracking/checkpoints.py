"""What was computed once, on disk: checkpoints and criterion values, by key.

A checkpoint is written aside, gets a manifest of checksums, and is renamed into place: a half-written one is never
found. It is verified when it is loaded; a damaged one is dropped with a warning and computed again. The folder is
kept under a size (``COMPOSABILITY_CACHE_GIB``, default 10): the checkpoints used longest ago go first.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interventions import cache
from interventions.composition import digest
from interventions.criteria.base import Scores
from interventions.lm import LM
from tracking.schema import exact

MANIFEST = "manifest.json"
_GIB = 2**30


@dataclass(frozen=True)
class Spent:
    """What a step cost when it was computed."""

    seconds: float
    peak_gib: float


class Checkpoints:
    """A mapping from checkpoint key to checkpoint, and from (key, criterion) to scores."""

    def __init__(self, folder: Path | None = None, limit_gib: float | None = None) -> None:
        self.folder = folder or cache.folder()
        self.limit = (limit_gib or float(os.environ.get("COMPOSABILITY_CACHE_GIB", "10"))) * _GIB
        (self.folder / "scores").mkdir(parents=True, exist_ok=True)

    def __contains__(self, key: str) -> bool:
        return (self.folder / key / MANIFEST).exists()

    def path(self, key: str) -> Path:
        """The folder of a checkpoint; ``from_pretrained`` loads it."""
        return self.folder / key

    def save(self, key: str, lm: LM, spent: Spent) -> Path:
        """Write a checkpoint: aside, checksums last, then renamed. Returns its folder."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".writing-") as aside:
            folder = Path(aside) / key
            lm.save(folder)
            sums = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
            manifest = {"key": key, "sha256": sums, "spent": dataclasses.asdict(spent)}
            _write_synced(folder / MANIFEST, json.dumps(manifest, indent=1))
            try:
                folder.rename(self.path(key))
            except OSError:  # another process was first: equal keys, equal weights
                if key not in self:
                    raise
        self._make_room(keep=key)
        return self.path(key)

    def load(self, key: str, dtype: str, device: str) -> tuple[LM, Spent] | None:
        """The verified checkpoint and what it cost, or None if it is not there (any more) or damaged."""
        if key not in self:
            return None
        folder = self.path(key)
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            damaged = [name for name, recorded in manifest["sha256"].items() if _sha256(folder / name) != recorded]
        except (OSError, ValueError, KeyError) as error:
            damaged = [str(error)]
        if damaged:
            warnings.warn(f"checkpoint {key} is damaged ({', '.join(damaged)}): computed again", stacklevel=2)
            shutil.rmtree(folder, ignore_errors=True)
            return None
        os.utime(folder)
        return LM.load(folder, dtype, device), Spent(**manifest["spent"])

    def spent(self, key: str) -> Spent:
        """What the checkpoint cost when it was computed."""
        return Spent(**json.loads((self.path(key) / MANIFEST).read_text())["spent"])

    def save_scores(self, key: str, identity: list[Any], scores: Scores, spent: Spent) -> None:
        """Keep a criterion's value for a checkpoint."""
        value = {
            "value": exact(scores.value),
            "stderr": exact(scores.stderr),
            "items": {item: exact(score) for item, score in scores.items.items()},
            "spent": dataclasses.asdict(spent),
        }
        self.save_value(key, identity, value)

    def load_scores(self, key: str, identity: list[Any]) -> tuple[Scores, Spent] | None:
        """A criterion's value, if it was kept."""
        kept = self.load_value(key, identity)
        if kept is None:
            return None
        items = {item: float(score) for item, score in kept["items"].items()}
        return Scores(float(kept["value"]), float(kept["stderr"]), items), Spent(**kept["spent"])

    def save_value(self, key: str, identity: list[Any], value: Any) -> None:
        """Keep any JSON value that follows from a checkpoint and an identity."""
        path = self._value_path(key, identity)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".writing-", delete=False) as file:
            json.dump(value, file)
        os.replace(file.name, path)

    def load_value(self, key: str, identity: list[Any]) -> Any:
        """The kept value, or None; an unreadable file counts as none."""
        try:
            return json.loads(self._value_path(key, identity).read_text())
        except (OSError, ValueError):
            return None

    def _value_path(self, key: str, identity: list[Any]) -> Path:
        return self.folder / "scores" / f"{digest(key, identity)}.json"

    def _make_room(self, keep: str) -> None:
        sized = [
            (folder.stat().st_mtime, sum(f.stat().st_size for f in folder.iterdir()), folder)
            for folder in self.folder.iterdir()
            if folder.name in self
        ]
        total = sum(size for _, size, _ in sized)
        for _, size, folder in sorted(sized):
            if total <= self.limit:
                return
            if folder.name != keep:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
