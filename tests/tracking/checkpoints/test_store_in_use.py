"""Checkpoints in use: claimed, held, verified once, and stored again on a full disk."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import BaseFileLock

from interventions.criteria.cost import Cost
from interventions.files import file_lock
from interventions.lm import LM
from tests.tracking.checkpoints.damage import flip_last_byte
from tracking.checkpoints import store as module
from tracking.checkpoints.store import Checkpoints


def test_who_waits_for_a_claim_has_it_once_it_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks: list[BaseFileLock] = []
    is_waiting = threading.Event()

    def kept_lock(path: Path) -> BaseFileLock:
        lock = file_lock(path)
        acquire = lock.acquire

        def noted(**timeout: Any) -> object:
            if not timeout:
                is_waiting.set()
            return acquire(**timeout)

        monkeypatch.setattr(lock, "acquire", noted)
        locks.append(lock)
        return lock

    monkeypatch.setattr(module, "file_lock", kept_lock)
    checkpoints, said = Checkpoints(tmp_path), list[tuple[bool, bool]]()

    def claim_too() -> None:
        with checkpoints.claim("a") as waited:
            said.append((waited, locks[1].is_locked))

    with checkpoints.claim("a") as waited:
        assert not waited and locks[0].is_locked
        second = threading.Thread(target=claim_too, daemon=True)
        second.start()
        assert is_waiting.wait(5) and said == []
    second.join(5)
    assert said == [(True, True)]
    assert [lock.is_locked for lock in locks] == [False, False]


@pytest.mark.parametrize("error", [OSError(errno.EROFS, "read-only"), NotImplementedError()])
def test_nobody_waits_where_there_are_no_locks(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_lock(path: Path) -> BaseFileLock:
        raise error

    monkeypatch.setattr(module, "file_lock", no_lock)
    with Checkpoints(tmp_path).claim("a") as waited:
        assert not waited


def test_a_checkpoint_as_large_as_the_bound_is_no_warning_and_a_larger_one_is_one(
    tmp_path: Path,
) -> None:
    checkpoints = Checkpoints(tmp_path, limit_gib=0.5)
    checkpoints.warn_if_too_large(2**29)
    with pytest.warns(UserWarning, match=r"has 0\.5 GiB, over the cache's bound of 0\.5 GiB"):
        checkpoints.warn_if_too_large(2**29 + 1)
    checkpoints.warn_if_too_large(2**30)  # it was said


def test_a_checkpoint_that_is_held_twice_stays_until_both_have_ended(
    lm: LM, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("a", lm, Cost())
    with checkpoints.held("a"):
        with checkpoints.held("a"):
            pass
        checkpoints._make_room("", 0.0)
        assert "a" in checkpoints
    checkpoints._make_room("", 0.0)
    assert "a" not in checkpoints


def test_once_it_is_not_held_the_newest_that_this_process_wrote_stays_or_else_it_does(
    lm: LM, tmp_path: Path
) -> None:
    Checkpoints(tmp_path).save("a", lm, Cost())
    checkpoints = Checkpoints(tmp_path, limit_gib=0.0)
    with checkpoints.held("a"):
        pass
    assert "a" in checkpoints
    with checkpoints.held("a"):
        checkpoints.save("b", lm, Cost())
        assert "a" in checkpoints and "b" in checkpoints
    assert "a" not in checkpoints and "b" in checkpoints


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[OSError], list[str]]:
    """What lets all that is written fail, and returns a list of what was tried."""

    def fail_with(error: OSError) -> list[str]:
        tried: list[str] = []

        def write(*arguments: object) -> None:
            tried.append("write")
            raise error

        def make_room(folder: Path, limit_bytes: float, stays: Callable[[str], bool]) -> None:
            tried.append(f"down to {limit_bytes:g} bytes, but a: {stays('a')}, b: {stays('b')}")

        monkeypatch.setattr(module, "write_checkpoint", write)
        monkeypatch.setattr(module, "make_room", make_room)
        return tried

    return fail_with


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_cleared_once_and_written_to_once_more(
    number: int, failing: Callable[[OSError], list[str]], lm: LM, tmp_path: Path
) -> None:
    tried = failing(OSError(number, os.strerror(number)))
    with pytest.warns(UserWarning, match=r"^no room in .* for checkpoint a: going on"):
        assert Checkpoints(tmp_path).save("a", lm, Cost()) is None
    assert tried == ["write", "down to 0 bytes, but a: True, b: False", "write"]


def test_another_error_is_said_in_100_characters_at_most_and_nothing_goes(
    failing: Callable[[OSError], list[str]], lm: LM, tmp_path: Path
) -> None:
    for length, said in ((100, "x" * 100), (101, "x" * 99 + "…")):
        tried = failing(OSError(errno.EIO, "x" * length))
        with pytest.warns(UserWarning, match=f"^{said} in .* for checkpoint a: going on"):
            assert Checkpoints(tmp_path).save("a", lm, Cost()) is None
        assert tried == ["write"]


def test_a_restored_checkpoint_is_read_only_and_counts_as_used_when_it_is_restored(
    lm: LM, tmp_path: Path
) -> None:
    folder = Checkpoints(tmp_path / "two").save("a", lm, Cost())
    assert folder is not None
    checkpoints = Checkpoints(tmp_path / "one")
    for _ in ("new", "another process was first"):
        aside = Path(shutil.copytree(folder, tmp_path / "aside", dirs_exist_ok=True))
        for file in aside.iterdir():
            file.chmod(0o644)
        os.utime(aside, (1, 1))
        restored = checkpoints.add_restored(aside)
        assert all(file.stat().st_mode & 0o222 == 0 for file in restored.iterdir())
        assert restored.stat().st_mtime > time.time() - 60
        os.utime(restored, (1, 1))


def test_what_was_verified_is_not_read_again_and_what_was_damaged_is(
    lm: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Checkpoints(tmp_path).save("a", lm, Cost())
    checkpoints, read = Checkpoints(tmp_path), list[str]()
    damage = checkpoints._damage

    def noted(name: str) -> list[str]:
        read.append(name)
        return damage(name)

    monkeypatch.setattr(checkpoints, "_damage", noted)
    for again, times in ((False, 1), (False, 1), (True, 2), (False, 2)):
        assert checkpoints.is_sound("a", again)
        assert read == ["a"] * times
    flip_last_byte(checkpoints.path("a") / "config.json")
    monkeypatch.setattr(module, "remove", lambda folder: None)  # of a cache that is only read
    for times in (3, 4):
        with pytest.warns(UserWarning, match="checkpoint a is damaged"):
            assert not checkpoints.is_sound("a", again=False)
        assert read == ["a"] * times
