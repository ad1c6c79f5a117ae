"""Hold the cache's folder under its size: what was used longest ago goes first.

Everything in it counts that takes room: checkpoints, MEMIT's statistics, what is being written or
removed, and what is left of a checkpoint whose process was killed while it went, with an earlier
version of this project.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
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
# cache -> name of a checkpoint -> the inode of its folder, and its bytes
_known_sizes: dict[Path, dict[str, tuple[int, int]]] = {}
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


def make_room(folder: Path, limit_bytes: float, stays: Callable[[str], bool]) -> None:
    """Drop checkpoints and statistics until a cache has no more bytes than it may have.

    Args:
        folder: the cache's; what cannot be read or removed in it stays.
        limit_bytes: that all together may have.
        stays: says of a checkpoint's name whether it is in use.
    """
    names = names_in(folder)
    sized = [*cache.statistics_files(folder), *checkpoints_by_use(folder)]
    total = sum(size for _, size, _ in sized)
    # a checkpoint that is held has second names there, which need no room
    total += sum(size_of(folder / name, most_names=1) for name in names if is_aside(name))
    for _, size, path in sorted(sized):
        if total <= limit_bytes:
            return
        if not stays(path.name):
            remove(path)
            total -= size


def checkpoints_by_use(folder: Path) -> list[tuple[float, int, Path]]:
    """Return when each checkpoint was used last, its bytes, and where it is.

    One that is whole is measured once in a process: its files never change.

    Args:
        folder: the cache's.
    """
    known: dict[str, tuple[int, int]] = {}
    before = _known_sizes.get(folder, known)
    sized: list[tuple[float, int, Path]] = []
    for name in names_in(folder):
        path = folder / name
        with suppress(OSError):  # another process may drop it meanwhile
            status = os.lstat(path)
            inode_and_size = before.get(name)
            if inode_and_size and inode_and_size[0] == status.st_ino:
                known[name] = inode_and_size
                sized.append((status.st_mtime, inode_and_size[1], path))
            elif (path / MANIFEST).exists():
                known[name] = (status.st_ino, size_of(path))
                sized.append((status.st_mtime, known[name][1], path))
            elif _is_remnant(path):
                sized.append((0.0, size_of(path), path))
    _known_sizes[folder] = known
    return sized
