"""Files that are whole or not there, and the hash of their contents."""

import os
from pathlib import Path

import pytest

from interventions.files import file_digest, whole_file, whole_folder, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_at_once_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_whole(path, "first")
    with whole_file(path) as partial:
        partial.write_text("second, ä", encoding="utf-8")
        assert path.read_text() == "first" and partial.parent == tmp_path
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
