"""Files that are whole or not there, and the hash of their contents."""

import os
from pathlib import Path

import pytest

from interventions.aside import remove, whole_folder
from interventions.files import (
    file_digest,
    file_lock,
    is_plain_file,
    read_plain,
    set_read_only,
    whole_file,
    write_whole,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_at_once_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_whole(path, "first")
    with whole_file(path) as partial:
        partial.write_text("second, ä", encoding="utf-8")
        # in a folder of our own nobody can put a link in the file's place
        assert path.read_text() == "first" and partial.parent.parent == tmp_path
        assert partial.parent.stat().st_mode & 0o777 == 0o700
    assert path.read_text(encoding="utf-8") == "second, ä"
    write_whole(path, "ü")
    assert path.read_bytes() == "ü".encode()
    assert names(tmp_path) == ["note.txt"]


def test_a_failure_leaves_the_old_file_and_no_part_of_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_whole(path, "first")
    with pytest.raises(RuntimeError), whole_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first" and names(tmp_path) == ["note.txt"]


def test_a_file_is_synced_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        calls.append("sync")
        real_sync(descriptor)

    def replace(source: Path, target: Path) -> None:
        calls.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    write_whole(tmp_path / "note.txt", "text")
    assert calls == ["sync", "rename"]


def test_a_folder_to_fill_is_beside_its_place_and_goes_with_what_is_left_in_it(
    tmp_path: Path,
) -> None:
    parent = tmp_path / "deep" / "parent"
    with whole_folder(parent) as aside:
        assert aside.parent == parent and not list(aside.iterdir())
        (aside / "whole").mkdir()
        (aside / "left").mkdir()
        (aside / "whole").rename(parent / "whole")
    assert names(parent) == ["whole"]
    with pytest.raises(RuntimeError), whole_folder(parent) as aside:
        (aside / "half").mkdir()
        raise RuntimeError
    assert names(parent) == ["whole"]


def test_a_digest_changes_with_names_and_contents_but_not_with_their_order(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("1")
    second.write_text("2")
    digest = file_digest([first, second])
    assert file_digest([second, first]) == digest and len(digest) == 32
    second.write_text("3")
    assert file_digest([first, second]) != digest
    renamed = second.rename(tmp_path / "c")
    renamed.write_text("2")
    assert file_digest([first, renamed]) != digest


def test_a_written_file_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    """A group that shares a cache with umask 002 can read and replace what is in it."""
    before = os.umask(0o002)
    try:
        write_whole(tmp_path / "note.txt", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "note.txt").stat().st_mode & 0o777 == 0o664


def test_links_planted_where_a_file_is_written_or_locked_lead_nowhere(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("of somebody else")
    folder = tmp_path / "cache"
    folder.mkdir()
    # the name of partial files was the process's number and the file's name
    for name in (f".writing-{os.getpid()}-note.txt", "note.txt", "key.lock"):
        (folder / name).symlink_to(foreign)
    write_whole(folder / "note.txt", "ours")
    with file_lock(folder / "key.lock"):
        pass
    assert foreign.read_text() == "of somebody else"
    assert is_plain_file(folder / "note.txt") and is_plain_file(folder / "key.lock")


def test_only_plain_files_within_a_size_are_read(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_bytes(b"12345")
    assert read_plain(note, 5) == b"12345"
    with pytest.raises(OSError, match=r"note.txt has more than 4 bytes"):
        read_plain(note, 4)
    (tmp_path / "link").symlink_to(note)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe", "missing"):
        assert not is_plain_file(tmp_path / name)
        with pytest.raises(OSError):
            read_plain(tmp_path / name, 5)
    assert is_plain_file(note) and not is_plain_file(Path("a\0b"))


def test_removing_takes_links_and_folders_but_not_what_a_link_points_at(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "note.txt").write_text("text")
    (tmp_path / "link").symlink_to(target)
    for name in ("link", "missing"):
        remove(tmp_path / name)
    assert names(tmp_path) == ["target"] and names(target) == ["note.txt"]
    remove(target)
    assert names(tmp_path) == []


def test_the_plain_files_of_a_folder_lose_and_get_the_right_to_be_written(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    (folder / "below").mkdir(parents=True)
    for path, mode in ((folder / "note", 0o666), (folder / "tool", 0o750), (outside, 0o644)):
        path.touch()
        path.chmod(mode)
    (folder / "below").chmod(0o755)
    (folder / "link").symlink_to(outside)

    def modes() -> list[int]:
        paths = (folder / "note", folder / "tool", outside, folder / "below")
        return [path.stat().st_mode & 0o777 for path in paths]

    set_read_only(folder)
    assert modes() == [0o444, 0o550, 0o644, 0o755]
    set_read_only(folder, False)
    assert modes() == [0o644, 0o750, 0o644, 0o755]
