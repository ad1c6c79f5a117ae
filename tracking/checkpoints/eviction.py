"""Hold the cache's folder under its size: what was used longest ago goes first.

Everything in it counts that takes room: checkpoints, MEMIT's statistics, what is being written or
removed, and what is left of a checkpoint whose process was killed while it went, with an earlier
version of this project.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from interventions import cache
from interventions.aside import clear_leftovers, clear_scratch, is_aside, remove, size_of
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
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if is_remnant(path):
                remove(path)


def is_remnant(path: Path) -> bool:
    """Return whether a folder is what is left of a checkpoint: it has a key for a name, only.

    A checkpoint is renamed to its place when it is whole, with its manifest.
    """
    is_folder = path.is_dir() and not path.is_symlink()
    return is_folder and _KEY.fullmatch(path.name) is not None and not (path / MANIFEST).exists()


def make_room(folder: Path, limit_bytes: float, stays: Callable[[str], bool]) -> None:
    """Drop checkpoints and statistics until a cache has no more bytes than it may have.

    Args:
        folder: the cache's; what cannot be read or removed in it stays.
        limit_bytes: that all together may have.
        stays: says of a checkpoint's name whether it is in use.
    """
    sized = cache.statistics_files(folder)
    counted: set[tuple[int, int]] = set()
    paths: list[Path] = []
    with suppress(OSError):
        paths = list(folder.iterdir())
    for path in paths:
        # another process may drop it meanwhile
        with suppress(OSError):
            if (path / MANIFEST).exists() or is_remnant(path):
                used = path.lstat().st_mtime if (path / MANIFEST).exists() else 0.0
                sized.append((used, size_of(path, counted), path))
    # a checkpoint that is held has second names there, which need no room
    total = sum(size_of(path, counted) for path in paths if is_aside(path))
    total += sum(size for _, size, _ in sized)
    for _, size, path in sorted(sized):
        if total <= limit_bytes:
            return
        if not stays(path.name):
            remove(path)
            total -= size
