"""Where computed results are kept: in the checkout, or the current folder where there is none.

Folders are made with the user's umask, as any other program does: a group that shares a cache has
said so with it. A cache that others may write is said once, since its checksums are in it too.
"""

from __future__ import annotations

import math
import os
import stat
import warnings
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from interventions.errors import InvalidInput, shown

_PROJECT_LINE = "name: composable-interventions"  # of our own MLproject
LIMIT = "COMPOSABILITY_CACHE_GIB"
STATISTICS = "statistics"  # the folder of MEMIT's second moments
_GIB = 2**30  # bytes
_checked: set[Path] = set()  # the folders of which it was said, or need not be
_read_only: set[Path] = set()  # those of which it was said that nothing is kept


def checkout() -> Path | None:
    """Return the checkout that this code runs from, or None where it is an installed wheel.

    A wheel may be installed into any folder (`pip install --target`), also into one that holds the
    MLproject of somebody else: so the project's name is compared too.
    """
    folder = Path(__file__).resolve().parent.parent
    project = folder / "MLproject"
    if project.is_file() and _PROJECT_LINE in project.read_text(encoding="utf-8").splitlines():
        return folder
    return None


def root() -> Path:
    """Return the folder of the default store and cache: the checkout, else the current folder."""
    return checkout() or Path.cwd()


def folder() -> Path:
    """Return the folder of cached checkpoints, criterion values and statistics.

    COMPOSABILITY_CACHE names it; without it, it is `.cache/checkpoints` under `root()`.
    """
    return Path(os.environ.get("COMPOSABILITY_CACHE") or root() / ".cache" / "checkpoints")


def limit_gib() -> float:
    """Return the size that cached checkpoints stay under: COMPOSABILITY_CACHE_GIB, or 10 GiB.

    Raises:
        InvalidInput: the variable is no number of at least 0.
    """
    text = os.environ.get(LIMIT) or "10"
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not limit >= 0:  # nan is neither below nor above
        raise InvalidInput(f"{LIMIT} must be a number of at least 0, but got {shown(text)}")
    return limit


def statistics_files(folder: Path) -> list[tuple[float, int, Path]]:
    """Return when each file of statistics was used last, its bytes, and where it is.

    Args:
        folder: of the cache.
    """
    found: list[tuple[float, int, Path]] = []
    with suppress(OSError):
        for path in (folder / STATISTICS).iterdir():
            with suppress(OSError):  # another process may drop it meanwhile
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    found.append((status.st_mtime, status.st_size, path))
    return found


def bound_statistics(kept: Collection[Path]) -> None:
    """Drop the statistics used longest ago, so that they alone stay under the cache's size.

    Args:
        kept: files that stay.
    """
    files = statistics_files(folder())
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit_gib() * _GIB:
            return
        if path not in kept:
            with suppress(OSError):  # of a cache that is only read
                path.unlink()
            total -= size


def make_writable(folder: Path) -> bool:
    """Make the cache's folder if it is missing; return whether anything can be kept in it.

    One that is there and can only be read serves. That nothing is kept then is said once.

    Args:
        folder: of the cache.

    Raises:
        InvalidInput: it is missing and cannot be made, is no folder, or cannot be read.
    """
    existed = folder.is_dir()
    try:
        (folder / "locks").mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK | os.X_OK) else "permission denied"
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    if reason and not (existed and os.access(folder, os.R_OK | os.X_OK)):
        raise InvalidInput(
            f"cannot write to the cache {shown(str(folder))}: {reason};"
            " name another folder with COMPOSABILITY_CACHE"
        )
    if reason and folder not in _read_only:
        _read_only.add(folder)
        warnings.warn(
            f"the cache {shown(str(folder))} can only be read: what is in it is used, and nothing"
            " is kept",
            stacklevel=3,
        )
    return not reason


def warn_if_others_may_write(folder: Path) -> None:
    """Warn, once per process, if other users may put files into a folder, or replace it.

    Args:
        folder: an existing one, whose files are trusted.
    """
    folder = folder.resolve()
    if folder in _checked or not hasattr(os, "getuid"):
        return
    _checked.add(folder)
    with suppress(OSError):
        parent = folder.parent.stat()
        # in a sticky folder, such as /tmp, nobody may rename what is another's
        replaceable = "" if parent.st_mode & stat.S_ISVTX else _who_may_write(parent)
        writers = _who_may_write(folder.stat()) or replaceable
        if writers:
            warnings.warn(
                f"{writers} may write to the cache {folder}, and what is in it is trusted:"
                " name another with COMPOSABILITY_CACHE, or take their right away",
                stacklevel=3,
            )


def _who_may_write(status: os.stat_result) -> str:
    """Return which other users may write to a folder; "" if none but root."""
    if status.st_uid not in (os.getuid(), 0):
        return f"user {status.st_uid}"
    if status.st_mode & stat.S_IWOTH:
        return "all users"
    if status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid):
        return f"group {status.st_gid}"
    return ""


def _is_private_group(group_id: int) -> bool:
    """Return whether a group has this user alone, as many systems make one for every user."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(group_id)
    except KeyError:
        return False
    return (
        user.pw_gid == group_id
        and group.gr_name == user.pw_name
        and set(group.gr_mem) <= {user.pw_name}
    )
