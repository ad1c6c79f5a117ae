"""Store checkpoints on disk by their key, within a size.

A checkpoint is written beside its place, gets a manifest of checksums, and is renamed: a
half-written one is never found. It is verified when it is loaded; a damaged one is dropped with a
warning and computed again. Two processes that want the same one take turns (``claim``). The folder
is held under a size (``COMPOSABILITY_CACHE_GIB``, 10 by default): the checkpoints used longest ago
go first, those in use (``pin``) never. On a full disk the work goes on without storing.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from interventions import cache
from interventions.criteria.cost import Cost
from interventions.files import whole_folder, write_whole
from interventions.lm import LM
from tracking.checkpoints.integrity import MANIFEST, damaged_files, disk_is_full, sha256
from tracking.checkpoints.values import MeasuredValues

_GIB = 2**30


class Checkpoints:
    """A mapping from checkpoint key to checkpoint.

    Args:
        folder: where they are; by default the checkout's, or COMPOSABILITY_CACHE.
        limit_gib: the size to stay under, in GiB; COMPOSABILITY_CACHE_GIB or 10 by default.

    Attributes:
        values: what was measured on the checkpoints.
    """

    def __init__(self, folder: Path | None = None, limit_gib: float | None = None) -> None:
        self.folder = folder or cache.folder()
        if limit_gib is None:
            limit_gib = float(os.environ.get("COMPOSABILITY_CACHE_GIB", "10"))
        self.limit_bytes = limit_gib * _GIB
        self._pinned: set[str] = set()
        self.values = MeasuredValues(self.folder / "scores")
        self._locks = self.folder / "locks"
        self._locks.mkdir(parents=True, exist_ok=True)

    def __contains__(self, key: str) -> bool:
        return (self.folder / key / MANIFEST).exists()

    def path(self, key: str) -> Path:
        """Return the folder of a checkpoint; ``from_pretrained`` loads it."""
        return self.folder / key

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Hold the right to compute something, and wait for it if another process has it.

        Yields:
            Whether another process had it meanwhile, and so may have computed it.
        """
        lock, waited = FileLock(self._locks / f"{key}.lock"), False
        try:
            lock.acquire(timeout=0)
        except Timeout:
            lock.acquire()
            waited = True
        except OSError as error:
            if not disk_is_full(error):
                raise
            # nobody can store anything, so nobody waits for it
            yield False
            return
        try:
            yield waited
        finally:
            lock.release()

    def pin(self, keys: Iterable[str]) -> None:
        """Mark checkpoints as in use: this process drops none of them to make room."""
        self._pinned.update(keys)

    def unpin(self, keys: Iterable[str]) -> None:
        """Mark checkpoints as used no more: they are the first to go when room is needed."""
        for key in keys:
            self._pinned.discard(key)
            if key in self:
                os.utime(self.path(key), (0, 0))

    def save(self, key: str, lm: LM, spent: Cost) -> Path | None:
        """Store a checkpoint.

        On a full disk all checkpoints that are not in use are dropped before a second attempt.

        Args:
            key: the checkpoint's.
            lm: the model.
            spent: what it cost to compute.

        Returns:
            Its folder; None, with a warning, if there is no room.
        """
        for second_attempt in (False, True):
            try:
                self._write(key, lm, spent)
                self._make_room(key, self.limit_bytes)
                return self.path(key)
            except Exception as error:  # safetensors has an error of its own for a full disk
                if not disk_is_full(error):
                    raise
                if not second_attempt:
                    self._make_room(key, 0.0)
        warnings.warn(
            f"no room in {self.folder} for checkpoint {key}: going on without it", stacklevel=2
        )
        return None

    def load(self, key: str, dtype: str, device: str) -> tuple[LM, Cost] | None:
        """Return a verified checkpoint and what it cost; None if it is missing or damaged."""
        if not self.is_sound(key):
            return None
        os.utime(self.path(key))  # the order of eviction goes by it
        spent = self.cost(key)
        return (LM.load(self.path(key), dtype, device), spent) if spent else None

    def is_sound(self, key: str) -> bool:
        """Return whether a checkpoint is stored, as it was written.

        A damaged one is dropped, with a warning.
        """
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
        """Store a copy of a checkpoint that lies elsewhere; return its folder."""
        with whole_folder(self.folder) as aside:
            shutil.copytree(folder, aside / key)
            self._place(aside / key)
        return self.path(key)

    def cost(self, key: str) -> Cost | None:
        """Return what a checkpoint cost when it was computed; None if it is not stored."""
        try:
            return Cost(**json.loads((self.path(key) / MANIFEST).read_text())["spent"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, key: str, lm: LM, spent: Cost) -> None:
        with whole_folder(self.folder) as aside:
            folder = aside / key
            lm.save(folder)
            checksums = {path.name: sha256(path) for path in sorted(folder.iterdir())}
            manifest = {"key": key, "sha256": checksums, "spent": dataclasses.asdict(spent)}
            write_whole(folder / MANIFEST, json.dumps(manifest, indent=1))
            self._place(folder)

    def _place(self, folder: Path) -> None:
        try:
            folder.rename(self.path(folder.name))
        except OSError:  # another process was first: equal keys, equal weights
            if folder.name not in self:
                raise

    def _make_room(self, key: str, limit_bytes: float) -> None:
        """Drop the checkpoints used longest ago, but ``key`` and those in use, down to a size."""
        sized = [
            (folder.stat().st_mtime, sum(f.stat().st_size for f in folder.iterdir()), folder)
            for folder in self.folder.iterdir()
            if folder.name in self
        ]
        total = sum(size for _, size, _ in sized)
        for _, size, folder in sorted(sized):
            if total <= limit_bytes:
                return
            if folder.name != key and folder.name not in self._pinned:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size
