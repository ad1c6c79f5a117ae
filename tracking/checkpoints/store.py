"""What was computed once, on disk: checkpoints and criterion values, by key.

A checkpoint is written aside, gets a manifest of checksums, and is renamed into place: a half-written one is never
found. Everything is verified when it is loaded; what is damaged is dropped with a warning and computed again. Two
processes that want the same thing take turns (`claim`). The folder is kept under a size (``COMPOSABILITY_CACHE_GIB``,
default 10): the checkpoints used longest ago go first, those that are in use (`pin`) never. On a full disk the work
goes on, without keeping.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from interventions import cache
from interventions.composition import digest
from interventions.criteria.base import Scores
from interventions.criteria.cost import Cost
from interventions.lm import LM
from tracking.schema import exact

MANIFEST = "manifest.json"
_GIB = 2**30


class Checkpoints:
    """A mapping from checkpoint key to checkpoint, and from (key, criterion) to scores."""

    def __init__(self, folder: Path | None = None, limit_gib: float | None = None) -> None:
        self.folder = folder or cache.folder()
        given = os.environ.get("COMPOSABILITY_CACHE_GIB", "10")
        self.limit = (float(given) if limit_gib is None else limit_gib) * _GIB
        self._pinned: set[str] = set()
        for name in ("scores", "locks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def __contains__(self, key: str) -> bool:
        return (self.folder / key / MANIFEST).exists()

    def path(self, key: str) -> Path:
        """The folder of a checkpoint; ``from_pretrained`` loads it."""
        return self.folder / key

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Hold the right to compute something; True if another process held it meanwhile, and may have done it."""
        lock, waited = FileLock(self.folder / "locks" / f"{key}.lock"), False
        try:
            lock.acquire(timeout=0)
        except Timeout:
            lock.acquire()
            waited = True
        except OSError as error:
            if not disk_is_full(error):
                raise
            yield False  # nobody can keep anything, so nobody waits for it
            return
        try:
            yield waited
        finally:
            lock.release()

    def pin(self, keys: Iterable[str]) -> None:
        """These are in use: this process will not make room by dropping them."""
        self._pinned.update(keys)

    def unpin(self, keys: Iterable[str]) -> None:
        """These are used no more: the first to go when room is needed."""
        for key in keys:
            self._pinned.discard(key)
            if key in self:
                os.utime(self.path(key), (0, 0))

    def save(self, key: str, lm: LM, spent: Cost) -> Path | None:
        """Write a checkpoint: aside, checksums last, then renamed. Returns its folder; None, with a warning, if full.

        On a full disk all that is not in use is dropped before it is tried once more.
        """
        for limit in (self.limit, 0.0):
            try:
                self._write(key, lm, spent)
                self._make_room(keep=key, limit=self.limit)
                return self.path(key)
            except Exception as error:  # safetensors has an error of its own for a full disk
                if not disk_is_full(error):
                    raise
                if limit:
                    self._make_room(keep=key, limit=0.0)
        warnings.warn(
            f"no room in {self.folder} for checkpoint {key}: going on without it", stacklevel=2
        )
        return None

    def load(self, key: str, dtype: str, device: str) -> tuple[LM, Cost] | None:
        """The verified checkpoint and what it cost, or None if it is not there (any more) or damaged."""
        if not self.sound(key):
            return None
        os.utime(self.path(key))
        spent = self.spent(key)
        return (LM.load(self.path(key), dtype, device), spent) if spent else None

    def sound(self, key: str) -> bool:
        """Whether the checkpoint is there and as it was written; a damaged one is dropped, with a warning."""
        if key not in self:
            return False
        damaged = damaged_files(self.path(key))
        if damaged:
            warnings.warn(
                f"checkpoint {key} is damaged ({', '.join(damaged)}): computed again", stacklevel=3
            )
            shutil.rmtree(self.path(key), ignore_errors=True)
        return not damaged

    def adopt(self, key: str, folder: Path) -> Path:
        """Keep a checkpoint that lies elsewhere, by a copy; returns where."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".writing-") as aside:
            shutil.copytree(folder, Path(aside) / key)
            self._place(Path(aside) / key)
        return self.path(key)

    def spent(self, key: str) -> Cost | None:
        """What the checkpoint cost when it was computed; None if it is not there."""
        try:
            return Cost(**json.loads((self.path(key) / MANIFEST).read_text())["spent"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save_scores(self, key: str, identity: list[Any], scores: Scores, spent: Cost) -> None:
        """Keep a criterion's value for a checkpoint."""
        value = {
            "value": exact(scores.value),
            "stderr": exact(scores.stderr),
            "items": {item: exact(score) for item, score in scores.items.items()},
            "spent": dataclasses.asdict(spent),
        }
        self.save_value(key, identity, value)

    def load_scores(self, key: str, identity: list[Any]) -> tuple[Scores, Cost] | None:
        """A criterion's value, if it was kept."""
        kept = self.load_value(key, identity)
        if kept is None:
            return None
        items = {item: float(score) for item, score in kept["items"].items()}
        return Scores(float(kept["value"]), float(kept["stderr"]), items), Cost(**kept["spent"])

    def save_value(self, key: str, identity: list[Any], value: Any) -> None:
        """Keep any JSON value that follows from a checkpoint and an identity; on a full disk, do not."""
        path, text = self._value_path(key, identity), json.dumps(value)
        aside = path.with_name(f".writing-{os.getpid()}-{path.name}")
        try:
            aside.write_text(f"{_sum(text)}\n{text}")
            os.replace(aside, path)
        except OSError as error:
            aside.unlink(missing_ok=True)
            if not disk_is_full(error):
                raise
            warnings.warn(
                f"no room in {self.folder} for a value: going on without it", stacklevel=2
            )

    def load_value(self, key: str, identity: list[Any]) -> Any:
        """The kept value, or None; a damaged file counts as none, with a warning."""
        path = self._value_path(key, identity)
        try:
            recorded, _, text = path.read_text().partition("\n")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            recorded, text = "", ""
        if _sum(text) == recorded:
            return json.loads(text)
        warnings.warn(f"the kept value {path.name} is damaged: measured again", stacklevel=2)
        return None

    def _write(self, key: str, lm: LM, spent: Cost) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".writing-") as aside:
            folder = Path(aside) / key
            lm.save(folder)
            sums = {path.name: sha256(path) for path in sorted(folder.iterdir())}
            manifest = {"key": key, "sha256": sums, "spent": dataclasses.asdict(spent)}
            _write_synced(folder / MANIFEST, json.dumps(manifest, indent=1))
            self._place(folder)

    def _place(self, folder: Path) -> None:
        try:
            folder.rename(self.path(folder.name))
        except OSError:  # another process was first: equal keys, equal weights
            if folder.name not in self:
                raise

    def _value_path(self, key: str, identity: list[Any]) -> Path:
        return self.folder / "scores" / f"{digest(key, identity)}.json"

    def _make_room(self, keep: str, limit: float) -> None:
        sized = [
            (folder.stat().st_mtime, sum(f.stat().st_size for f in folder.iterdir()), folder)
            for folder in self.folder.iterdir()
            if folder.name in self
        ]
        total = sum(size for _, size, _ in sized)
        for _, size, folder in sorted(sized):
            if total <= limit:
                return
            if folder.name != keep and folder.name not in self._pinned:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size


def damaged_files(folder: Path) -> list[str]:
    """What of a checkpoint's folder is not as its manifest says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return [
            name
            for name, recorded in manifest["sha256"].items()
            if sha256(folder / name) != recorded
        ]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        return [str(error)]


def sha256(path: Path) -> str:
    """A file's checksum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def disk_is_full(error: BaseException) -> bool:
    """Whether an error, or what it came from, says so; safetensors puts it into words."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or "No space left on device" in str(error) or "Disk quota exceeded" in str(error)


def load(run_id: str, step: int, out: Path | str | None = None) -> Path:
    """The full folder of a run's checkpoint, whatever was logged of it; see ``restore.restore``."""
    from tracking.checkpoints.restore import restore

    return restore(run_id, step, Path(out) if out else None)


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
