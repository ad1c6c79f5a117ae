"""The journal of a study outlives the processes that write it."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from optuna.study import StudyDirection

from interventions.errors import InvalidInput
from sweeps.study.journal import _KernelLock, journal_path, open_journal
from tests.sweeps.study.queues import open_queue, run_point


def test_a_half_written_line_and_a_lock_of_a_killed_process_hold_nobody_up(studies: Path) -> None:
    open_queue(studies).fill()
    path = journal_path(studies, "composability", "mine")
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "half')
    lock = f"FileLock({str(path) + '.lock'!r})"
    code = f"from filelock import FileLock; import os; {lock}.acquire(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code])
    trial = open_queue(studies).claim()
    assert trial is not None
    run_point(open_queue(studies), trial)
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert len(open_queue(studies).ended()) == 1


def test_every_store_experiment_and_study_has_a_journal_of_its_own(
    studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {journal_path(studies, "composability", "a/b")}
    paths.add(journal_path(studies, "composability", "a-b"))
    paths.add(journal_path(studies, "another", "a/b"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    paths.add(journal_path(studies, "composability", "a/b"))
    assert len(paths) == 4
    assert all(path.parent == studies / "studies" for path in paths)
    assert all(path.name.startswith("a-b-") for path in paths)


def test_a_journal_keeps_its_name_so_that_a_study_of_before_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    path = journal_path(tmp_path, "composability", "mine")
    assert path == tmp_path / "studies" / "mine-62108feb.log"


def test_a_process_waits_for_the_lock_of_a_living_one(studies: Path) -> None:
    queue = open_queue(studies)
    lock = FileLock(f"{journal_path(studies, 'composability', 'mine')}.lock")
    writer = threading.Thread(target=queue.fill)
    with lock:
        writer.start()
        writer.join(timeout=0.5)
        assert writer.is_alive()
    writer.join(timeout=60)
    assert not writer.is_alive() and len(queue.unfinished()) == 6


def test_the_link_of_another_user_in_the_journals_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal is appended to, and its half line is cut off: not in a file that a link names."""
    foreign, link = tmp_path / "foreign.txt", tmp_path / "studies" / "mine.log"
    foreign.write_text("a line\nhalf a line")
    link.parent.mkdir()
    link.symlink_to(foreign)
    if not os.getuid():
        os.lchown(link, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(InvalidInput, match="is a link that another user has put there"):
        open_journal(link)
    assert foreign.read_text() == "a line\nhalf a line"


def test_ones_own_link_to_a_journal_elsewhere_is_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "real.log", tmp_path / "studies" / "mine.log"
    link.parent.mkdir()
    link.symlink_to(real)
    open_journal(link).create_new_study([StudyDirection.MINIMIZE], "mine")
    assert real.read_text().endswith("\n") and link.is_symlink()


def test_a_journal_in_the_place_of_whose_folder_a_file_is_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("a file")
    with pytest.raises(InvalidInput, match=r"mine\.log' cannot be written: name another cache"):
        open_journal(tmp_path / "studies" / "mine.log")


@pytest.mark.parametrize(("is_there", "read_only"), [(True, "mine.log"), (False, "studies")])
def test_a_journal_that_may_only_be_read_or_not_be_made_is_refused(
    is_there: bool, read_only: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "studies" / "mine.log"
    path.parent.mkdir()
    if is_there:
        path.touch()
    monkeypatch.setattr(
        os, "access", lambda place, mode: (place.name, mode) != (read_only, os.W_OK)
    )
    with pytest.raises(InvalidInput, match=r"mine\.log' cannot be written"):
        open_journal(path)


@pytest.mark.parametrize(
    ("written", "left"),
    [
        (b"one\ntwo\nhalf", b"one\ntwo\n"),
        (b"one\n\nhalf", b"one\n\n"),
        (b"one\nh", b"one\n"),
        (b"half", b""),
    ],
)
def test_only_a_half_line_is_cut_off(written: bytes, left: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.log"
    path.write_bytes(written)
    lock = _KernelLock(path)
    assert lock.acquire()
    lock.release()
    assert path.read_bytes() == left


@pytest.mark.parametrize("content", [b"", b"\n", b"one\n", b"one\ntwo\n"])
def test_a_journal_of_whole_lines_is_not_written_when_it_is_locked(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "mine.log"
    path.write_bytes(content)
    os.utime(path, (0, 0))
    lock = _KernelLock(path)
    assert lock.acquire()
    lock.release()
    assert (path.read_bytes(), path.stat().st_mtime) == (content, 0)
