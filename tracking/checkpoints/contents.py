"""What a cache holds, and how it is made smaller by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from interventions import cache
from interventions.aside import is_aside, names_in, size_of
from interventions.errors import InvalidInput, shown
from tracking.checkpoints.eviction import checkpoints_by_use, clear_cache, make_room

# folder -> what lies in it; beside checkpoints and MEMIT's statistics, which alone are bounded
_SMALL = {
    "scores": "values of criteria",
    "requests": "questions as tokens",
    "items": "answers of models",
}


@dataclass(frozen=True)
class CacheEntry:
    """A checkpoint in a cache.

    Attributes:
        key: its name.
        used: when it was used last, in seconds since 1970.
        size: bytes.
    """

    key: str
    used: float
    size: int


@dataclass(frozen=True)
class CacheContents:
    """What a cache holds.

    Attributes:
        folder: the cache's.
        limit_bytes: that checkpoints and statistics stay under while runs are made.
        checkpoints: the one used last first.
        parts: what else there is, in words -> files and bytes.
    """

    folder: Path
    limit_bytes: float
    checkpoints: Sequence[CacheEntry]
    parts: dict[str, tuple[int, int]]

    @property
    def bounded_bytes(self) -> int:
        """What the limit is about: checkpoints, statistics, and what is being written or held."""
        parts = (self.parts[name][1] for name in ("statistics", "in work"))
        return sum(entry.size for entry in self.checkpoints) + sum(parts)


def contents() -> CacheContents:
    """Return what the cache holds, the checkout's or COMPOSABILITY_CACHE; nothing is changed.

    Raises:
        InvalidInput: COMPOSABILITY_CACHE_GIB is no size.
    """
    folder = cache.folder()
    sized = sorted(checkpoints_by_use(folder), reverse=True)
    statistics = [size for _, size, _ in cache.statistics_files(folder)]
    aside = [size_of(folder / name, most_names=1) for name in names_in(folder) if is_aside(name)]
    parts = {"statistics": (len(statistics), sum(statistics)), "in work": (len(aside), sum(aside))}
    for name, words in _SMALL.items():
        files = [path.lstat().st_size for path in (folder / name).rglob("*") if path.is_file()]
        parts[words] = (len(files), sum(files))
    entries = [CacheEntry(path.name, used, size) for used, size, path in sized]
    return CacheContents(folder, cache.limit_gib() * 2**30, entries, parts)


def prune_cache(limit_gib: float) -> tuple[CacheContents, CacheContents]:
    """Remove what was used longest ago until checkpoints and statistics are under a size.

    What another process has in use stays readable to it: it has names of its own for the files.

    Args:
        limit_gib: that may stay.

    Returns:
        What there was, and what is left.

    Raises:
        InvalidInput: there is no cache, or it can only be read.
    """
    folder = cache.folder()
    if not folder.is_dir():
        raise InvalidInput(f"there is no cache at {shown(str(folder), 200)}")
    if not cache.make_writable(folder):
        raise InvalidInput(f"the cache {shown(str(folder), 200)} can only be read")
    before = contents()
    clear_cache(folder)
    make_room(folder, limit_gib * 2**30, lambda name: False)
    return before, contents()
