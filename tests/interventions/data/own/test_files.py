"""Every format is read to the same rows; what is no such file is refused before it is opened."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from interventions.data.own import files
from interventions.data.own.reading import own_data
from interventions.errors import InvalidInput
from tests.interventions.data.own.parts import question

ROWS = [question(number, subject="stones, and 'more'") for number in range(3)]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".jsonl":
        path.write_text("\n\n".join(map(json.dumps, rows)) + "\n")
    elif path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        cells = [{**row, "choices": json.dumps(row["choices"])} for row in rows]
        pd.DataFrame(cells).to_csv(path, index=False)


def digest_of(folder: Path, name: str) -> str:
    stones = {"file": name, "better": "higher"}
    return own_data(questions={"stones": stones}, folder=folder).digest


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".parquet", ".JSONL"])
def test_all_formats_are_read_to_the_same_content(tmp_path: Path, suffix: str) -> None:
    name = f"stones{suffix}"
    write(tmp_path / name.lower(), ROWS)
    if suffix.isupper():
        os.rename(tmp_path / name.lower(), tmp_path / name)
    inline = own_data(questions={"stones": {"rows": ROWS, "better": "higher"}})
    assert digest_of(tmp_path, name) == inline.digest


def test_rows_a_line_are_read_from_a_file_that_is_named_json(tmp_path: Path) -> None:
    (tmp_path / "stones.json").write_text("\n".join(map(json.dumps, ROWS)))
    write(tmp_path / "stones.jsonl", ROWS)
    assert digest_of(tmp_path, "stones.json") == digest_of(tmp_path, "stones.jsonl")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ("paragraphs", ("one\ntwo", "three")),
        ("lines", ("one", "two", "three")),
        ("whole", ("one\ntwo\n\n \n\nthree",)),
    ],
)
def test_a_text_file_is_cut_as_is_said(
    tmp_path: Path, texts: str, expected: tuple[str, ...]
) -> None:
    (tmp_path / "retain.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n\r\n \r\n\r\nthree\r\n")
    data = own_data(retain={"file": "retain.txt", "texts": texts}, folder=tmp_path)
    assert data.batch().retain == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text"', "row 2 is no JSON"),
        ("a.json", b'"text"', "must be a list of rows"),
        ("a.json", b"[" * 100_000, "cannot read it"),
        ("a.json", b"\xff\xfe", "cannot read it"),
        ("a.csv", b"text,text\nx,y\n", "columns must have different names"),
        ("a.csv", b"text\nx,y\n", "row 1 has 2 columns, but the first line names 1"),
        ("a.csv", b'text\n"x', "cannot read it"),
        ("a.parquet", b"PAR1 no such thing", "cannot read it"),
        ("a.txt", b"\n \n", "has no rows"),
        ("a.jsonl", b'{"txet": "x"}', "no field is named 'txet'. Did you mean 'text'"),
        ("a.py", b"print()", "code among them, are not read"),
        ("a.pkl", b"x", "must end in one of"),
        ("a.yaml", b"x", "must end in one of"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=message) as error:
        own_data(retain=name, folder=tmp_path)
    line = str(error.value)
    assert name in line and len(line) <= 390 and line.isprintable()


def test_a_file_may_have_columns_that_are_for_something_else(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,remark\nx,y\n")
    assert own_data(retain="a.csv", folder=tmp_path).batch().retain == ("x",)
    # also one of nearly a field's name, where it is said which column is the field
    (tmp_path / "b.csv").write_text("body,texts\nx,y\n")
    source = {"file": "b.csv", "fields": {"text": "body"}}
    assert own_data(retain=source, folder=tmp_path).batch().retain == ("x",)


def test_a_long_cell_of_a_csv_file_is_read_and_the_limit_of_the_library_is_as_before(
    tmp_path: Path,
) -> None:
    import csv

    before = csv.field_size_limit()
    (tmp_path / "a.csv").write_text("text\n" + "word " * 50_000)
    data = own_data(retain="a.csv", folder=tmp_path).batch()
    assert len(data.retain[0]) == 250_000 and csv.field_size_limit() == before


@pytest.mark.parametrize("kind", ["missing", "loop", "folder", "pipe", "nothing", "nul"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.txt"
    if kind == "loop":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    name = {"nothing": "n" * 300 + ".txt", "nul": "a\0.txt"}.get(kind, "a.txt")
    with pytest.raises(InvalidInput, match=r"^retain \("):
        own_data(retain=name, folder=tmp_path)


def test_a_link_that_leads_out_of_the_folder_is_refused_and_a_plain_path_is_not(
    tmp_path: Path,
) -> None:
    folder, outside = tmp_path / "data", tmp_path / "other.txt"
    folder.mkdir()
    outside.write_text("a text")
    (folder / "inside.txt").write_text("a text")
    (folder / "link.txt").symlink_to(outside)
    (folder / "near.txt").symlink_to("inside.txt")
    with pytest.raises(InvalidInput, match="is a link that leads out of the folder"):
        own_data(retain="link.txt", folder=folder)
    for name in ("near.txt", "../other.txt", str(outside)):
        assert own_data(retain=name, folder=folder).batch().retain == ("a text",)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n\nthree")
    monkeypatch.setattr(files, "MOST_ROWS", 2)
    with pytest.raises(InvalidInput, match="there are more than 2 rows"):
        own_data(retain="a.txt", folder=tmp_path)
    with (tmp_path / "large.txt").open("wb") as file:
        file.truncate(files.MOST_BYTES + 1)
    with pytest.raises(InvalidInput, match=r"has 1,073,741,825 bytes; at most 1,073,741,824 are"):
        own_data(retain="large.txt", folder=tmp_path)


def test_no_more_rows_are_used_than_is_said(tmp_path: Path) -> None:
    data = own_data(retain={"rows": ["one", "two", "three"], "first": 2}).batch()
    assert data.retain == ("one", "two")
