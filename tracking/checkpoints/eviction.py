"""Hold the cache's folder under its size: what was used longest ago goes first.

Everything in it counts that takes room: checkpoints, MEMIT's statistics, what is being written or
removed, and what is left of a checkpoint whose process was killed while it went, with an earlier
version of this project.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from interventions import cache
from interventions.aside import (
    clear_leftovers,
    clear_scratch,
    is_aside,
    names_in,
    remove,
    size_of,
)
from tracking.checkpoints.integrity import MANIFEST

RESTORED = "restored-"  # begins the name of a checkpoint that came from artifacts; no key does
_KEY = re.compile(f"(?:{RESTORED})?[0-9a-f]{{32}}")
# the folders of a cache in which files are written
_WRITTEN = ("", "scores", cache.STATISTICS, "requests", "items")


def clear_cache(folder: Path) -> None:
    """Remove what killed processes left in a cache and in the system's temporary folder.

    Args:
        folder: the cache's.
    """
    for name in _WRITTEN:
        clear_leftovers(folder / name)
    clear_scratch()
    for name in names_in(folder):
        if _is_remnant(folder / name):
            remove(folder / name)


def _is_remnant(path: Path) -> bool:
    """Return whether a folder is what is left of a checkpoint: it has a key for a name, only.

    A checkpoint is renamed to its place when it is whole, with its manifest.
    """
    # of the many that are whole, one look must do
    if not _KEY.fullmatch(path.name) or os.path.exists(path / MANIFEST):
        return False
    return path.is_dir() and not path.is_symlink()


class Sizes:
    """The bytes of a cache's checkpoints, each looked at once: their files never change."""

    def __init__(self) -> None:
        # name -> inode of the folder, bytes, and the files that they are of
        self._known: dict[str, tuple[int, int, set[tuple[int, int]]]] = {}

    def checkpoints(
        self, folder: Path, names: Iterable[str], counted: set[tuple[int, int]]
    ) -> list[tuple[float, int, Path]]:
        """Return when each checkpoint was used last, its bytes, and where it is.

        Args:
            folder: the cache's.
            names: what is in it.
            counted: gets the files, by device and inode.
        """
        known, sized = {}, []
        for name in names:
            path = folder / name
            with suppress(OSError):  # another process may drop it meanwhile
                status = os.lstat(path)
                entry = self._known.get(name)
                if entry is None or entry[0] != status.st_ino:
                    is_whole = (path / MANIFEST).exists()
                    if not is_whole and not _is_remnant(path):
                        continue
                    files: set[tuple[int, int]] = set()
                    entry = (status.st_ino, size_of(path, files), files)
                    if not is_whole:
                        sized.append((0.0, entry[1], path))
                        continue
                known[name] = entry
                counted |= entry[2]
                sized.append((status.st_mtime, entry[1], path))
        self._known = known
        return sized


def make_room(folder: Path, limit_bytes: float, stays: Callable[[str], bool], sizes: Sizes) -> None:
    """Drop checkpoints and statistics until a cache has no more bytes than it may have.

    Args:
        folder: the cache's; what cannot be read or removed in it stays.
        limit_bytes: that all together may have.
        stays: says of a checkpoint's name whether it is in use.
        sizes: what is known of the checkpoints.
    """
    names = names_in(folder)
    counted: set[tuple[int, int]] = set()
    sized = [*cache.statistics_files(folder), *sizes.checkpoints(folder, names, counted)]
    # a checkpoint that is held has second names there, which need no room
    total = sum(size_of(folder / name, counted) for name in names if is_aside(name))
    total += sum(size for _, size, _ in sized)
    for _, size, path in sorted(sized):
        if total <= limit_bytes:
            return
        if not stays(path.name):
            remove(path)
            total -= size
