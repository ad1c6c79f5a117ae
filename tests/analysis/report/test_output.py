"""The folder that an analysis is to write is checked before a run is made."""

import os
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import files
from analysis.report.run import read_output
from interventions.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "output must be one line of 1 to 4095"),
        ("a\0b", "output must be one line of 1 to 4095"),
        ("x" * 5000, "output must be one line of 1 to 4095"),
        ("x" * 300, "output must be a folder, but got"),
        ("~no-such-user-here/x", "output must be a folder, but got"),
        (f"{__file__}/x", "output must be a folder, but .* is a file"),
    ],
    ids=["empty", "two lines", "too long", "a long name", "nobody's home", "in a file"],
)
def test_a_folder_that_cannot_be_is_one_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        read_output(text)
    assert len(str(error.value)) < 400


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_output(str(tmp_path / "new" / "folder")) == tmp_path / "new" / "folder"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InvalidInput, match="nothing can be written into"):
        read_output(str(tmp_path / "new" / "folder"))


def test_a_name_is_no_formula_in_a_csv_file(tmp_path: Path) -> None:
    names = ["=1+1", "+cmd", "-cmd", "@sum", "plain"]
    files._write_csv(pd.DataFrame({"name": names, "value": -1.0}), tmp_path / "names.csv")
    cells = [line.partition(",")[0] for line in (tmp_path / "names.csv").read_text().splitlines()]
    assert not any(cell.lstrip('"').startswith(("=", "+", "-", "@")) for cell in cells)
    assert cells[-1] == "plain"
