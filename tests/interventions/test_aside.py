"""Folders for a while, and what killed processes left of theirs."""

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from interventions.aside import (
    clear_leftovers,
    clear_scratch,
    remove,
    scratch_folder,
    size_of,
    whole_folder,
)

KILLED = """
import os, signal, sys
from pathlib import Path
from interventions.aside import scratch_folder, whole_folder
with whole_folder(Path(sys.argv[1])) as aside, scratch_folder() as scratch:
    (aside / "half").write_text("half")
    (scratch / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def opened_below(folder: Path) -> list[str]:
    """Return what this process has open of a folder and below."""
    descriptors = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    targets = [os.readlink(path) for path in descriptors if path.is_symlink()]
    return [target for target in targets if target.startswith(str(folder))]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, for this test."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_what_a_killed_process_left_is_cleared_and_what_a_living_one_writes_stays(
    tmp_path: Path, temporary: Path
) -> None:
    parent = tmp_path / "cache"
    subprocess.run([sys.executable, "-c", KILLED, str(parent)], check=False)
    assert [name[:9] for name in names(parent)] == [".writing-"]
    assert [name[:22] for name in names(temporary)] == ["composability-scratch-"]
    with whole_folder(parent) as aside, scratch_folder() as scratch:
        (aside / "half").write_text("ours")
        clear_leftovers(parent)
        clear_scratch()
        assert names(parent) == [aside.name] and names(temporary) == [scratch.name]
        assert names(aside) == ["half"]
    assert names(parent) == [] and names(temporary) == []


def test_what_others_have_in_the_temporary_folder_stays(temporary: Path) -> None:
    for name in ("composability-notes", "composability-changed-fresh", "tmp123"):
        (temporary / name).mkdir()
    (temporary / "elsewhere").mkdir()
    (temporary / "composability-scratch-link").symlink_to(temporary / "elsewhere")
    (temporary / "composability-changed-old").mkdir()  # as versions before 0.2 left them
    os.utime(temporary / "composability-changed-old", (1, 1))
    before = set(names(temporary))
    clear_scratch()
    assert before - set(names(temporary)) == {"composability-changed-old"}


@pytest.mark.parametrize(("seconds", "left"), [(3601.0, 1), (3601.5, 0)])
def test_a_folder_of_a_version_before_goes_once_it_is_older_than_an_hour(
    seconds: float, left: int, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / "composability-changed-old").mkdir()
    os.utime(temporary / "composability-changed-old", (1, 1))
    monkeypatch.setattr("interventions.aside.time.time", lambda: seconds)
    clear_scratch()
    assert len(names(temporary)) == left


def test_a_folder_that_another_process_cleared_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tempfile.mkdtemp
    taken: list[str] = []

    def robbed(**options: object) -> str:
        folder = real(**options)  # type: ignore[call-overload]
        if not taken:
            taken.append(folder)
            os.rmdir(folder)
        return str(folder)

    monkeypatch.setattr(tempfile, "mkdtemp", robbed)
    with whole_folder(tmp_path) as aside:
        assert taken and names(tmp_path) == [aside.name]


@pytest.mark.parametrize(
    ("error", "folders"), [(BlockingIOError(), 2), (OSError(errno.ENOLCK, "no locks"), 1)], ids=str
)
def test_a_folder_whose_lock_another_has_is_left_to_it_and_one_without_locks_is_used(
    error: OSError, folders: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, errors = fcntl.flock, [error]

    def flock(descriptor: int, how: int) -> None:
        if errors:
            raise errors.pop()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with whole_folder(tmp_path) as aside:
        assert len(names(tmp_path)) == folders
        assert aside.name in names(tmp_path)
    assert len(names(tmp_path)) == folders - 1
    assert not opened_below(tmp_path)


def test_a_folder_that_goes_while_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    gone: list[str] = []

    def flock(descriptor: int, how: int) -> None:
        real(descriptor, how)
        if not gone:
            gone.extend(names(tmp_path))
            (tmp_path / gone[0]).rmdir()

    monkeypatch.setattr(fcntl, "flock", flock)
    with whole_folder(tmp_path) as aside:
        assert names(tmp_path) == [aside.name] != gone


def test_a_leftover_that_cannot_be_removed_stays_and_is_not_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".writing-half" / "below").mkdir(parents=True)

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "rmdir", refuse)
    clear_leftovers(tmp_path)
    assert names(tmp_path) == [".writing-half"] and not opened_below(tmp_path)


def test_a_folder_that_is_removed_is_renamed_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "key"
    folder.mkdir()
    (folder / "weights").write_text("weights")

    def killed(path: Path, ignore_errors: bool) -> None:
        assert not folder.exists()

    monkeypatch.setattr("interventions.aside.shutil.rmtree", killed)
    remove(folder)
    monkeypatch.undo()
    assert [name[:10] for name in names(tmp_path)] == [".removing-"]
    clear_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_of_a_folder_the_files_count_and_second_names_where_they_are_to(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / "below").mkdir(parents=True)
    (first / "a").write_text("12345")
    os.link(first / "a", second / "below" / "b")
    (second / "below" / "c").write_text("123")
    (second / "dangling").symlink_to("nowhere")
    (tmp_path / "link").symlink_to(first)
    assert [size_of(path) for path in (first, second)] == [5, 8]
    assert size_of(second, most_names=1) == 3
    assert size_of(tmp_path / "link") == size_of(tmp_path / "missing") == 0


def test_what_is_not_there_is_removed_without_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[Path] = []
    monkeypatch.setattr(Path, "rename", lambda path, to: renamed.append(path))
    remove(tmp_path / "missing")
    assert not renamed  # it is no folder to be renamed first


def test_a_folder_is_removed_and_one_that_went_meanwhile_is_given_up_without_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full" / "below").mkdir(parents=True)
    remove(tmp_path / "full")
    assert names(tmp_path) == []
    with whole_folder(tmp_path / "new" / "cache") as aside:
        aside.rmdir()
    assert names(tmp_path / "new" / "cache") == []
    folder = tmp_path / "key"
    folder.mkdir()

    def rename(path: Path, target: Path) -> None:
        path.rmdir()
        raise FileNotFoundError

    monkeypatch.setattr(Path, "rename", rename)
    remove(folder)
    assert not folder.exists()
