"""The forms of a part: which of its files count, how many rows, and what is asked of the hub."""

from pathlib import Path
from typing import Any

import pytest

from interventions.data import hub
from interventions.data.hub import Source
from interventions.data.own import parts
from interventions.data.own.parts import DataPart
from interventions.errors import InvalidInput

ROWS = [{"text": letter} for letter in "abc"]


def corpus(**said: Any) -> DataPart:
    return DataPart("retain", {"hub": "owner/corpus@c0ffee", **said}, Path())


def test_a_text_file_is_cut_into_paragraphs_unless_something_else_is_said(tmp_path: Path) -> None:
    (tmp_path / "ours.txt").write_text("one\ntwo\n\nthree\n")
    counts = {
        texts: len(DataPart("retain", {"file": "ours.txt", **texts_said}, tmp_path).rows())
        for texts, texts_said in {
            "": {},
            "lines": {"texts": "lines"},
            "whole": {"texts": "whole"},
        }.items()
    }
    assert counts == {"": 2, "lines": 3, "whole": 1}


def test_as_many_rows_as_are_read_at_most_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Source, "rows", lambda source, folder: iter(ROWS))
    monkeypatch.setattr(parts, "MOST_ROWS", 3)
    numbered = [(f"row {number}", row) for number, row in enumerate(ROWS, 1)]
    assert corpus().rows() == numbered
    monkeypatch.setattr(parts, "MOST_ROWS", 2)
    with pytest.raises(InvalidInput, match=r"there are more than 2 rows; say first$"):
        corpus().rows()
    assert corpus(first=1).rows() == numbered[:1]


def test_only_a_data_set_of_which_the_first_rows_are_used_is_read_in_pieces() -> None:
    assert corpus()._hub_source() == Source("owner/corpus", "", "train", "c0ffee")
    said = corpus(first=2, config="en", split="test")._hub_source()
    assert said == Source("owner/corpus", "en", "test", "c0ffee", large=True)


def test_a_copy_in_a_hidden_folder_is_known_by_what_is_not_hidden_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / ".cache"
    monkeypatch.setenv(hub.VARIABLE, str(copies))
    copy = copies / "owner" / "corpus"
    (copy / ".git").mkdir(parents=True)
    contents = []
    for name, text in [
        ("train.json", "one"),
        (".git/index", "one"),
        (".note", "one"),
        ("train.json", "two"),
    ]:
        (copy / name).write_text(text)
        contents.append(corpus().hub_identity()[0])
    assert contents[0] == contents[1] == contents[2] != contents[3]
