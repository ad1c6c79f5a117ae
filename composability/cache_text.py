"""The contents of a cache as text."""

from __future__ import annotations

from datetime import UTC, datetime

from analysis.labels import counted
from interventions.errors import shown
from tracking.checkpoints.contents import CacheContents

_GIB, _MIB = 2**30, 2**20  # bytes


def contents_text(contents: CacheContents, most: int | None) -> str:
    """Return a line per part of a cache, and one per checkpoint.

    Args:
        contents: of the cache.
        most: checkpoints that are listed; None: all.
    """
    checkpoints = contents.checkpoints
    size = sum(entry.size for entry in checkpoints)
    lines = [
        f"cache {shown(str(contents.folder), 300)}: {_gib(contents.bounded_bytes)} of"
        f" {contents.limit_bytes / _GIB:g} GiB",
        f"  {counted(len(checkpoints), 'checkpoint')}: {_gib(size)}",
    ]
    lines += [
        f"  {name}: {counted(files, 'file')}, {_gib(part)}"
        for name, (files, part) in contents.parts.items()
        if files
    ]
    listed = checkpoints[:most]
    if listed:
        lines.append(f"{'checkpoint':32}  {'MiB':>9}  last used (UTC)")
    lines += [
        f"{entry.key:32}  {entry.size / _MIB:9.1f}"
        f"  {datetime.fromtimestamp(entry.used, UTC):%Y-%m-%d %H:%M}"
        for entry in listed
    ]
    if len(listed) < len(checkpoints):
        lines.append(f"… and {len(checkpoints) - len(listed)} more: composability cache list --all")
    return "\n".join(lines)


def pruned_text(before: CacheContents, after: CacheContents) -> str:
    """Return how much was removed, and how much is left."""
    removed = len(before.checkpoints) - len(after.checkpoints)
    return (
        f"removed {counted(removed, 'checkpoint')},"
        f" {_gib(before.bounded_bytes - after.bounded_bytes)} in all;"
        f" {counted(len(after.checkpoints), 'checkpoint')} and"
        f" {_gib(after.bounded_bytes)} are left in {shown(str(after.folder), 300)}"
    )


def _gib(size: float) -> str:
    return f"{size / _GIB:.2f} GiB"
