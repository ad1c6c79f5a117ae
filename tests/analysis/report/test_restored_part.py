"""What comes back of what was unlearned, in the files and on the page of an analysis."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.metrics.restored import restored
from analysis.report.files import write_files
from analysis.report.prepare import check_against_runs
from analysis.report.request import AnalysisRequest
from tests.analysis.synthetic import curve, frame, run

TITLE = "What comes back of what was unlearned"
RUNS = [
    *curve("rmu", "gptq", [4, 8], [0.45, 0.3], [0.3, 0.3], criterion="wmdp", mmlu=0.8),
    run("rmu", wmdp=0.3, mmlu=0.8),
    run("none", wmdp=0.9, mmlu=0.9),
]


def page(folder: Path, runs: list[dict[str, object]], criteria: str = "") -> str:
    chosen = tuple(filter(None, criteria.split(",")))
    request = AnalysisRequest(("made up",), criteria=chosen, items="none")
    write_files(check_against_runs(request, frame(runs)), folder)
    return (folder / "report.html").read_text()


def test_the_file_has_the_numbers_and_the_page_says_them(tmp_path: Path) -> None:
    text = page(tmp_path, RUNS)
    table = pd.read_csv(tmp_path / "restored.csv")
    expected = restored(frame(RUNS))
    assert list(table.restored) == pytest.approx([0.25, 0.0])
    assert list(table.columns) == list(expected.columns)
    part = text[text.index(TITLE) :]
    row = part[part.index("RMU, then GPTQ at 4 bits") :].partition("</tr>")[0]
    places = [row.index(number) for number in ("WMDP", "0.900", "0.300", "0.450", "0.25")]
    assert places == sorted(places)
    assert "2 compositions" in part


def test_there_is_no_such_part_where_no_run_tells(tmp_path: Path) -> None:
    for name, runs in (("no base", RUNS[:-1]), ("no unlearning alone", [*RUNS[:-2], RUNS[-1]])):
        assert TITLE not in page(tmp_path / name, runs)
        assert not (tmp_path / name / "restored.csv").exists()


def test_only_criteria_that_were_asked_for_are_shown(tmp_path: Path) -> None:
    assert TITLE not in page(tmp_path / "mmlu", RUNS, "mmlu")
    assert TITLE in page(tmp_path / "both", RUNS, "mmlu,wmdp")
