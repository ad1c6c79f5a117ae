"""What a cache's checkpoints count, and which of them go for room."""

import os
from pathlib import Path

import pytest

from interventions.composition import digest
from tracking.checkpoints.eviction import checkpoints_by_use, make_room
from tracking.checkpoints.integrity import MANIFEST

OLD, NEW, REMNANT = (digest(name) for name in ("old", "new", "remnant"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache with two checkpoints, and what is left of a third."""
    for name, size, used in ((OLD, 3000, 100), (NEW, 5000, 200)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(bytes(size))
        (tmp_path / name / MANIFEST).write_bytes(bytes(10))
        os.utime(tmp_path / name, (used, used))
    (tmp_path / REMNANT).mkdir()
    (tmp_path / REMNANT / "weights").write_bytes(bytes(700))
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_remnant_was_used_before_all_checkpoints_and_each_has_the_bytes_of_its_files(
    folder: Path,
) -> None:
    assert sorted(checkpoints_by_use(folder)) == [
        (0.0, 700, folder / REMNANT),
        (100.0, 3010, folder / OLD),
        (200.0, 5010, folder / NEW),
    ]


def test_a_whole_checkpoint_is_measured_once_unless_another_takes_its_name(folder: Path) -> None:
    checkpoints_by_use(folder)
    (folder / OLD / "weights").write_bytes(b"")
    sizes = {path.name: size for _, size, path in checkpoints_by_use(folder)}
    assert sizes == {OLD: 3010, NEW: 5010, REMNANT: 700}
    (folder / OLD).rename(folder / "elsewhere")
    (folder / NEW).rename(folder / OLD)
    assert {path.name: size for _, size, path in checkpoints_by_use(folder)}[OLD] == 5010


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        (8720, {OLD, NEW, REMNANT}),
        (8719, {OLD, NEW}),
        (8020, {OLD, NEW}),
        (8019, {NEW}),
        (5009, set()),
    ],
)
def test_what_was_used_longest_ago_goes_until_the_rest_is_within_the_limit(
    folder: Path, limit: int, left: set[str]
) -> None:
    make_room(folder, limit, lambda name: False)
    assert names(folder) == left


def test_what_is_in_use_stays_and_the_next_goes_in_its_place(folder: Path) -> None:
    make_room(folder, 8019, lambda name: name == OLD)
    assert names(folder) == {OLD}
