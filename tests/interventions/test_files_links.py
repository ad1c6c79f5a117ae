"""Second names of files: which there are, what is done without them, and what they replace."""

import errno
import os
from pathlib import Path

import pytest

from interventions.files import hard_link, link_or_copy, second_names


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with two files, and a link to one of them."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "first").write_text("one")
    (folder / "second").write_text("two")
    (folder / "link").symlink_to("first")
    return folder


def without_links(monkeypatch: pytest.MonkeyPatch, but: str = "") -> None:
    link = os.link

    def refused(path: Path, target: Path, *, follow_symlinks: bool) -> None:
        if path.name != but:
            raise OSError(errno.EXDEV, "another file system")
        link(path, target, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "link", refused)


@pytest.mark.parametrize("has_links", [True, False])
def test_files_are_linked_or_else_copied_over_what_was_there(
    source: Path, tmp_path: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    foreign = tmp_path / "foreign"
    foreign.write_text("of somebody else")
    (folder / "first").symlink_to(foreign)
    (folder / "second").write_text("of before")
    (folder / "kept").write_text("of before")
    if not has_links:
        without_links(monkeypatch)
    link_or_copy(source, folder)
    link_or_copy(source, tmp_path / "new" / "folder")
    for target in (folder, tmp_path / "new" / "folder"):
        assert (target / "first").read_text() == "one" and (target / "link").is_symlink()
        assert (target / "second").samefile(source / "second") == has_links
    assert {path.name for path in folder.iterdir()} == {"first", "second", "link", "kept"}
    assert foreign.read_text() == "of somebody else"


def test_a_second_name_is_given_or_it_is_said_that_there_can_be_none(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hard_link(source / "first", tmp_path / "name") is True
    assert (tmp_path / "name").samefile(source / "first")
    assert hard_link(source / "second", tmp_path / "name") is False  # it is taken
    with pytest.raises(FileNotFoundError):
        hard_link(source / "gone", tmp_path / "other name")
    without_links(monkeypatch)
    assert hard_link(source / "first", tmp_path / "other name") is False


def test_second_names_are_beside_the_folder_or_it_is_used_itself(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with second_names(source) as names:
        assert names != source and names.name == "source"
        assert {path.name for path in names.iterdir()} == {"first", "second", "link"}
    assert not names.exists()
    without_links(monkeypatch, but="first")
    with second_names(source) as names:
        assert names == source
