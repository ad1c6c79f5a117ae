"""The contents of a cache as text."""

from pathlib import Path

from composability.cache_text import contents_text, pruned_text
from tracking.checkpoints.contents import CacheContents, CacheEntry

GIB, MIB = 2**30, 2**20


def contents(*sizes: int, in_work: int = 0) -> CacheContents:
    """Return what a cache holds whose checkpoints have these sizes; the last was used in 1970."""
    checkpoints = [
        CacheEntry(f"key{number}", 3600.0 * (len(sizes) - 1 - number), size)
        for number, size in enumerate(sizes)
    ]
    parts = {"statistics": (0, 0), "in work": (2, in_work), "values of criteria": (1, GIB // 4)}
    return CacheContents(Path("cache"), 2.5 * GIB, checkpoints, parts)


def test_parts_are_lines_and_checkpoints_are_a_table_the_one_used_last_first() -> None:
    text = contents_text(contents(GIB, 3 * MIB // 2, in_work=GIB // 2), None)
    assert text.splitlines() == [
        "cache 'cache': 1.50 GiB of 2.5 GiB",
        "  2 checkpoints: 1.00 GiB",
        "  in work: 2 files, 0.50 GiB",
        "  values of criteria: 1 file, 0.25 GiB",
        f"checkpoint{' ' * 22}        MiB  last used (UTC)",
        f"key0{' ' * 28}     1024.0  1970-01-01 01:00",
        f"key1{' ' * 28}        1.5  1970-01-01 00:00",
    ]


def test_checkpoints_that_are_not_listed_are_counted() -> None:
    lines = contents_text(contents(MIB, MIB, MIB), 1).splitlines()
    assert [line for line in lines if line.startswith("key")] == [lines[-2]]
    assert lines[-1] == "… and 2 more: composability cache list --all"
    assert contents_text(contents(MIB), 1).splitlines()[-1].startswith("key0")
    assert "last used" not in contents_text(contents(), None)


def test_what_was_removed_is_the_difference() -> None:
    before, after = contents(GIB, GIB, GIB, in_work=GIB), contents(GIB, in_work=GIB // 2)
    assert pruned_text(before, after) == (
        "removed 2 checkpoints, 2.50 GiB in all; 1 checkpoint and 1.50 GiB are left in 'cache'"
    )
