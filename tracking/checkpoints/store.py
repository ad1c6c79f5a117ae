"""Store checkpoints on disk by their key, within a size.

A checkpoint is written beside its place, gets a manifest of checksums, and is renamed: a
half-written one is never found. Its weights are hashed while they are written, and its files are
read-only. It is verified when it is loaded; a damaged one is dropped with a warning and computed
again. Only what was computed here is stored under its key: what came from a run's artifacts lies
under a name of its own, so that no run goes on from it. Two processes that want the same one take
turns (``claim``). The folder is held under a size (``COMPOSABILITY_CACHE_GIB``, 10 by default):
what was used longest ago goes first, what is in use (``pin``, ``held``) never. Whatever goes wrong
while something is kept costs only the keeping; a folder that can only be read serves.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from interventions import cache
from interventions.aside import remove, whole_folder
from interventions.criteria.cost import Cost
from interventions.errors import printable_line
from interventions.files import file_lock, second_names, set_read_only
from interventions.lm import LM
from tracking.checkpoints.eviction import RESTORED, clear_cache, make_room
from tracking.checkpoints.integrity import (
    MANIFEST,
    Stamps,
    cannot_write,
    content_checksum,
    damaged_files,
    disk_is_full,
    in_words,
    read_object,
    stamps_of,
)
from tracking.checkpoints.values import MeasuredValues
from tracking.checkpoints.writing import write_checkpoint

_GIB = 2**30  # bytes


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
        self.limit_bytes = (cache.limit_gib() if limit_gib is None else limit_gib) * _GIB
        self._pinned, self._newest, self._is_warned = set[str](), "", False
        self._held = Counter[str]()
        self._sound: dict[str, Stamps] = {}  # of those that were written or verified here
        self._locks = self.folder / "locks"
        self._keeps = cache.make_writable(self.folder)
        if self._keeps:
            clear_cache(self.folder)
        self.values = MeasuredValues(self.folder / "scores", self._keeps)
        cache.warn_if_others_may_write(self.folder)

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
        waited = False
        try:
            lock = file_lock(self._locks / f"{key}.lock")
            lock.acquire(timeout=0)
        except Timeout:
            lock.acquire()
            waited = True
        except (OSError, NotImplementedError):  # the latter where a file system has no locks
            # nobody can store anything, or both compute the same
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
                with suppress(OSError):
                    os.utime(self.path(key), (0, 0))

    @contextmanager
    def held(self, key: str) -> Iterator[Path]:
        """Keep the files of a stored checkpoint while the block runs, whoever makes room.

        This process does not drop it, however small the limit; for others that do, its files have
        second names, where the file system knows such.

        Yields:
            A folder with its files.

        Raises:
            FileNotFoundError: another process has dropped it.
        """
        self._held[key] += 1
        try:
            with second_names(self.path(key)) as folder:
                yield folder
        finally:
            self._held[key] -= 1
            self._make_room(self._newest or key, self.limit_bytes)

    def warn_if_too_large(self, size: int) -> None:
        """Warn, once, if a checkpoint alone has more bytes than all are to have together."""
        if size > self.limit_bytes and not self._is_warned:
            self._is_warned = True
            warnings.warn(
                f"a checkpoint of this model has {size / _GIB:.3g} GiB, over the cache's bound of"
                f" {self.limit_bytes / _GIB:.3g} GiB ({cache.LIMIT}): it keeps the newest alone,"
                " and other runs compute their steps again",
                stacklevel=3,
            )

    def save(self, key: str, lm: LM, spent: Cost) -> Path | None:
        """Store a checkpoint.

        On a full disk all checkpoints that are not in use are dropped before a second attempt.

        Args:
            key: the checkpoint's.
            lm: the model.
            spent: what it cost to compute.

        Returns:
            Its folder; None, with a warning, if it cannot be written.
        """
        if not self._keeps:  # which was said when the cache was opened
            return None
        for is_last in (False, True):
            try:
                self._write(key, lm, spent)
                self._make_room(key, self.limit_bytes)
                return self.path(key)
            except Exception as error:
                if not cannot_write(error):
                    raise
                is_full, reason = disk_is_full(error), getattr(error, "strerror", None) or error
                if is_last or not is_full:
                    break
                self._make_room(key, 0.0)
        reason = "no room" if is_full else printable_line(str(reason), 100)
        warnings.warn(
            f"{reason} in {self.folder} for checkpoint {key}: going on without it", stacklevel=2
        )
        return None

    def load(
        self, key: str, dtype: str, device: str, trust_remote_code: bool = False
    ) -> tuple[LM, Cost] | None:
        """Return a verified checkpoint and what it cost; None if it is missing or damaged.

        The checkpoint of a model with code of its own has that code in it, which runs only with
        ``trust_remote_code``.
        """
        if not self.is_sound(key):
            return None
        with suppress(OSError):  # of a cache that is only read
            os.utime(self.path(key))  # the order of eviction goes by it
        spent = self.cost(key)
        if spent is None:
            return None
        lm = LM.load(self.path(key), dtype, device, trust_remote_code=trust_remote_code)
        return lm, spent

    def is_sound(self, key: str, again: bool = True) -> bool:
        """Return whether a checkpoint is stored, as it was written.

        A damaged one is dropped, with a warning.

        Args:
            key: the checkpoint's.
            again: whether it is read in full even if this process has written or verified it and
                no file has been touched since.
        """
        if key not in self:
            return False
        stamps = stamps_of(self.path(key))
        if not again and stamps and stamps == self._sound.get(key):
            return True
        damaged = self._damage(key)
        self._sound[key] = [] if damaged else stamps
        if damaged:
            warnings.warn(
                f"checkpoint {key} is damaged ({in_words(damaged)}): computed again", stacklevel=3
            )
            remove(self.path(key))
        return not damaged

    def add_restored(self, folder: Path) -> Path:
        """Move a checkpoint here that came from artifacts; return its folder.

        It lies under the checksum of its content, which is no checkpoint's key. Like the others it
        is dropped when room is needed.

        Args:
            folder: a verified checkpoint, on the file system of the cache.
        """
        set_read_only(folder)
        name = _name_of_restored(folder)
        self._place(folder, name)
        os.utime(self.path(name))
        self._make_room(name, self.limit_bytes)
        return self.path(name)

    def cost(self, key: str) -> Cost | None:
        """Return what a checkpoint cost when it was computed; None if it is not stored."""
        try:
            spent = read_object(self.path(key) / MANIFEST)["spent"]
            return Cost(**{part: float(amount) for part, amount in spent.items()})
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def _write(self, key: str, lm: LM, spent: Cost) -> None:
        with whole_folder(self.folder) as aside:
            folder = aside / key
            write_checkpoint(folder, key, lm, spent)
            stamps = stamps_of(folder)
            self._place(folder, key)
            # those of another process, if it was first, have other inodes
            self._sound[key] = stamps
            self._newest = key

    def _place(self, folder: Path, name: str) -> None:
        target = self.path(name)
        try:
            folder.rename(target)
        except OSError:
            # another process was first: equal names, equal weights
            if self._damage(name):
                remove(target)
                folder.rename(target)

    def _damage(self, name: str) -> list[str]:
        folder = self.path(name)
        if not name.startswith(RESTORED):
            return damaged_files(folder, name)
        damaged = damaged_files(folder)
        if not damaged and _name_of_restored(folder) != name:
            damaged = ["its name is that of others"]
        return damaged

    def _make_room(self, key: str, limit_bytes: float) -> None:
        """Drop what was used longest ago, but ``key`` and what is in use; MEMIT's files count."""

        def stays(name: str) -> bool:
            return name == key or name in self._pinned or self._held[name] > 0

        if self._keeps:
            make_room(self.folder, limit_bytes, stays)


def _name_of_restored(folder: Path) -> str:
    return f"{RESTORED}{content_checksum(folder)[:32]}"
