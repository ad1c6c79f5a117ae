"""`composability cache`: what is listed is there, and pruning leaves what was used last."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from composability.command import main
from interventions.criteria.cost import Cost
from interventions.lm import LM
from tracking.checkpoints.contents import contents, prune_cache
from tracking.checkpoints.integrity import MANIFEST
from tracking.checkpoints.store import Checkpoints

KEYS = [f"{number:032x}" for number in range(3)]  # the later, the longer ago they were used
NOW = 1_700_000_000


@pytest.fixture
def folder(tmp_path: Path, lm: LM, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with three checkpoints of one size, statistics, and a value of a criterion."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(folder))
    checkpoints = Checkpoints(folder)
    for age, key in enumerate(KEYS):
        checkpoints.save(key, lm, Cost())
        os.utime(folder / key, (NOW - 60 * age, NOW - 60 * age))
    for name in ("statistics", "scores"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "file").write_bytes(bytes(2**20))
    os.utime(folder / "statistics" / "file", (NOW - 90, NOW - 90))
    return folder


def keys(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST}"))


def printed(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["cache", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_list_has_sizes_and_last_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = contents()
    assert [entry.key for entry in held.checkpoints] == KEYS
    on_disk = sum(path.stat().st_size for path in (folder / KEYS[0]).rglob("*") if path.is_file())
    assert held.checkpoints[0].size >= on_disk > 2**20
    assert held.bounded_bytes == sum(entry.size for entry in held.checkpoints) + 2**20
    assert held.parts["values of criteria"] == (1, 2**20)
    lines = printed(["list"], capsys)
    assert lines[0].endswith(f"{held.bounded_bytes / 2**30:.2f} GiB of 10 GiB")
    assert lines[1].startswith("  3 checkpoints: ") and "  statistics: 1 file, 0.00 GiB" in lines
    assert [line.split()[0] for line in lines[-3:]] == KEYS
    assert not [line for line in lines if "in work" in line]  # nothing is
    assert lines[-3].endswith("2023-11-14 22:13") and lines[-2].endswith("2023-11-14 22:12")


def test_of_many_the_last_used_are_listed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("composability.commands.cache._MOST_LISTED", 2)
    lines = printed(["list"], capsys)
    assert [line.split()[0] for line in lines[-3:-1]] == KEYS[:2]
    assert lines[-1] == "… and 1 more: composability cache list --all"
    assert printed(["list", "--all"], capsys)[-1].startswith(KEYS[2])


def test_pruning_removes_what_was_used_longest_ago(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = contents().checkpoints[0].size
    # room for one and a half: the oldest checkpoint goes, the statistics after it, then another
    (line,) = printed(["prune", "--gib", str(1.5 * size / 2**30)], capsys)
    assert keys(folder) == KEYS[:1]
    assert line.startswith("removed 2 checkpoints, ") and "; 1 checkpoint and " in line
    assert not contents().parts["statistics"][0]
    assert (folder / "scores" / "file").exists()  # small, and spares measuring
    (line,) = printed(["prune"], capsys)
    assert line.startswith("removed 0 checkpoints, 0.00 GiB in all; 1 checkpoint and ")
    printed(["prune", "--gib", "0"], capsys)
    assert keys(folder) == [] and contents().bounded_bytes == 0


def test_pruning_clears_what_killed_processes_left(folder: Path) -> None:
    (folder / KEYS[0] / MANIFEST).unlink()  # as after a kill within an eviction
    before, after = prune_cache(10)
    assert len(after.checkpoints) == 2 and not (folder / KEYS[0]).exists()
    assert before.bounded_bytes > after.bounded_bytes


def test_what_another_process_reads_stays_readable_to_it(folder: Path) -> None:
    reader = Checkpoints(folder)
    with reader.held(KEYS[0]) as names:
        assert contents().parts["in work"][1] == 0  # second names need no room
        prune_cache(0)
        assert keys(folder) == []
        assert LM.load(str(names)).model.num_parameters() > 0


def test_a_cache_that_can_only_be_read_is_listed_and_not_pruned(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interventions.cache.make_writable", lambda folder: False)
    assert main(["cache", "prune", "--gib", "0"]) == 2
    assert "can only be read" in capsys.readouterr().err and keys(folder) == KEYS
    assert printed(["list"], capsys)[1].startswith("  3 checkpoints: ")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["prune", "--gib", "-1"], "is not in the range"),
        (["prune", "--gib", "nan"], "is not a valid number"),
        (["prune", "--gib", "all"], "is not a valid float"),
        (["empty"], "No such command"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_removed(
    words: list[str], line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", *words]) == 2
    assert line in capsys.readouterr().err and keys(folder) == KEYS


def test_without_a_cache_there_is_nothing_to_prune(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "none"))
    assert main(["cache", "prune"]) == 2
    assert capsys.readouterr().err.startswith("error: there is no cache at ")
    assert printed(["list"], capsys)[1] == "  0 checkpoints: 0.00 GiB"
    assert not (tmp_path / "none").exists()
