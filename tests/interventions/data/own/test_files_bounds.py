"""Where a row stands is counted from 1, and what is exactly as large as may be is read."""

import os
from pathlib import Path

import pandas as pd
import pytest
from pyarrow import parquet

from interventions.data.own import files
from interventions.data.own.files import find_file, read_file, read_rows
from interventions.errors import InvalidInput

TWO_ROWS = {
    "a.json": b'[{"n": "x"}, {"n": "y"}]',
    "a.jsonl": b'{"n": "x"}\n\n{"n": "y"}',
    "a.csv": b"n\n\nx\ny\n",
}


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("a.json", ["row 1", "row 2"]),
        ("a.jsonl", ["row 1", "row 3"]),  # the line, as an editor counts it
        ("a.csv", ["row 1", "row 2"]),
    ],
)
def test_rows_are_numbered_from_1(tmp_path: Path, name: str, places: list[str]) -> None:
    (tmp_path / name).write_bytes(TWO_ROWS[name])
    rows = read_rows(tmp_path / name, "paragraphs", "retain")
    assert rows == list(zip(places, [{"n": "x"}, {"n": "y"}], strict=True))


def test_pieces_of_a_text_are_numbered_from_1(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\none\n\n\n\ntwo")
    rows = read_rows(tmp_path / "a.txt", "paragraphs", "retain")
    assert rows == [("text 1", "one"), ("text 2", "two")]


def test_a_file_with_as_many_rows_as_may_be_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_bytes(TWO_ROWS["a.csv"])
    monkeypatch.setattr(files, "MOST_ROWS", 2)
    assert len(read_rows(tmp_path / "a.csv", "paragraphs", "retain")) == 2


def test_rows_and_bytes_of_a_parquet_file_are_bounded_each_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"n": ["x", "y"]}).to_parquet(path)
    size = parquet.ParquetFile(path).metadata.row_group(0).total_byte_size
    monkeypatch.setattr(files, "MOST_ROWS", 2)
    monkeypatch.setattr(files, "MOST_BYTES", size)
    rows = read_rows(path, "paragraphs", "retain")
    assert rows == [("row 1", {"n": "x"}), ("row 2", {"n": "y"})]
    for bound, most in (("MOST_ROWS", 1), ("MOST_BYTES", size - 1)):
        with monkeypatch.context() as bounded:
            bounded.setattr(files, bound, most)
            with pytest.raises(InvalidInput, match=f"'a.parquet' has 2 rows of {size} bytes"):
                read_rows(path, "paragraphs", "retain")


def test_a_file_with_as_many_bytes_as_may_be_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"12345")
    assert read_file(tmp_path / "a.txt", 5) == b"12345"
    with pytest.raises(InvalidInput, match=r"^'a\.txt' has 5 bytes; at most 4 are read$"):
        read_file(tmp_path / "a.txt", 4)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"n,\nx,y\n", "its columns must have different names, but are ['n', '']"),
        ("a.jsonl", b'{"n": 1, "m": 2, "m": 3}', "row 1: the field 'm' is there twice"),
        ("a.json", b'[{"n": 1, "m": 2, "m": 3}]', "the field 'm' is there twice"),
    ],
)
def test_a_name_that_is_missing_or_there_twice_is_told(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput) as error:
        read_rows(tmp_path / name, "paragraphs", "retain")
    assert str(error.value).removeprefix("retain: ").removeprefix("cannot read it: ") == message


def test_a_header_alone_that_is_the_whole_csv_file_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text")
    assert read_rows(tmp_path / "a.csv", "paragraphs", "retain") == []


@pytest.mark.parametrize("suffix", [".txt", ".parquet"])
def test_a_folder_and_a_pipe_are_no_files(tmp_path: Path, suffix: str) -> None:
    folder, pipe = tmp_path / f"folder{suffix}", tmp_path / f"pipe{suffix}"
    folder.mkdir()
    os.mkfifo(pipe)
    for path, reason in (
        (folder, f"cannot read 'folder{suffix}': Is a directory"),
        (pipe, f"'pipe{suffix}' is no file"),
    ):
        with pytest.raises(InvalidInput) as error:
            read_rows(path, "paragraphs", "retain")
        assert str(error.value) == f"retain: {reason}"


def test_why_a_file_cannot_be_opened_is_told_in_the_words_of_the_system(tmp_path: Path) -> None:
    name = "n" * 90
    with pytest.raises(InvalidInput) as error:
        read_file(tmp_path / name)
    assert str(error.value) == f"cannot read '{'n' * 78}…: No such file or directory"
    with pytest.raises(InvalidInput, match=r"': embedded null byte$"):
        read_file(tmp_path / "a\0b")


def test_why_no_file_is_found_is_told(tmp_path: Path) -> None:
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    for name, reason in (
        ("none.txt", "No such file or directory"),
        ("loop.txt", "it is a loop of links, or no path"),
    ):
        with pytest.raises(InvalidInput) as error:
            find_file(name, tmp_path, "retain")
        assert str(error.value) == f"retain: cannot read '{name}': {reason}"
