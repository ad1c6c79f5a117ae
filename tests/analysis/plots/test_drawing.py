import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.plots import drawing
from analysis.plots.drawing import draw_all, drawn_meanwhile
from analysis.plots.fronts import front_grids
from analysis.plots.heat import heats
from tests.analysis.plots.hand_made import TITLES, panel_grid
from tests.analysis.plots.panel_grids import titles_of
from tests.analysis.synthetic import frame, run
from tests.quality.plain_words import ROOT


@pytest.fixture(scope="module")
def titles() -> Labels:
    return TITLES


@pytest.fixture(scope="module")
def two_grids() -> list[Any]:
    """Two small figures, of eight panels."""
    return [replace(panel_grid(), name=name) for name in ("first", "second")]


@contextmanager
def apart(monkeypatch: pytest.MonkeyPatch, few: int = 0) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Draw at most so many panels here, and give the processes that were started."""
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(real(*arguments, **options))
        return started[-1]

    with monkeypatch.context() as patch:
        patch.setattr(drawing, "_FEW", few)
        patch.setattr(subprocess, "Popen", popen)
        yield started


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_process_draws_what_is_drawn_here(
    two_grids: list[Any], titles: Labels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mpl.rcParams, "text.color", "red")
    draw_all(two_grids, titles, tmp_path / "here")
    # a package of the same name in the working folder is not the one
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, Path("ignored")])  # as Python's imports do
    with (
        apart(monkeypatch) as started,
        drawn_meanwhile(two_grids, titles, Path("apart")),
    ):
        assert started[0].poll() is None
    assert written(tmp_path / "apart") == written(tmp_path / "here")
    assert sorted(written(tmp_path / "here")) == [
        "first.png",
        "second.png",
    ]


def test_a_few_are_there_when_the_block_begins(
    two_grids: list[Any], titles: Labels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        apart(monkeypatch, few=8) as started,
        drawn_meanwhile(two_grids, titles, tmp_path),
    ):
        assert len(written(tmp_path)) == 2
    assert not started
    with (
        apart(monkeypatch, few=7) as started,
        drawn_meanwhile(two_grids, titles, tmp_path),
    ):
        assert started


@pytest.mark.parametrize(("name", "value"), [("executable", ""), ("frozen", True)])
def test_where_no_python_can_be_started_all_are_drawn_here(
    name: str, value: object, two_grids: list[Any], titles: Labels, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, name, value, raising=False)
    with (
        apart(monkeypatch) as started,
        drawn_meanwhile(two_grids, titles, tmp_path),
    ):
        assert not started and len(written(tmp_path)) == 2


def test_a_block_that_raises_ends_the_process(
    two_grids: list[Any], titles: Labels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        apart(monkeypatch) as started,
        pytest.raises(KeyboardInterrupt),
        drawn_meanwhile(two_grids, titles, tmp_path / "figures"),
    ):
        raise KeyboardInterrupt
    assert started[0].returncode == -9


def test_a_process_that_fails_is_an_error_with_its_last_words(
    two_grids: list[Any], titles: Labels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unwritable = replace(two_grids[0], name="no file can have this \0 in its name")
    with (
        apart(monkeypatch),
        pytest.raises(RuntimeError) as failed,
        drawn_meanwhile([unwritable], titles, tmp_path),
    ):
        pass
    first, *words = str(failed.value).splitlines()
    assert first == "the process that draws figures ended with 1"
    assert len(words) == 3 and words[-1] == "ValueError: embedded null byte"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_process_draws_for_its_parent_alone(
    is_there: bool, two_grids: list[Any], titles: Labels, tmp_path: Path
) -> None:
    job: Any = (two_grids, titles, tmp_path, os.getpid() if is_there else os.getppid(), {})
    command = [sys.executable, "-m", "analysis.plots.drawing"]
    ended = subprocess.run(command, input=pickle.dumps(job), cwd=ROOT, capture_output=True)
    assert ended.returncode == (0 if is_there else 1)
    assert len(written(tmp_path)) == (2 if is_there else 0)


def test_the_folder_is_there_when_the_block_begins(
    two_grids: list[Any], titles: Labels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new" / "figures"
    with apart(monkeypatch), drawn_meanwhile(two_grids, titles, folder):
        (folder / "page.html").write_text("")
    assert len(written(folder)) == 3
    with drawn_meanwhile([], titles, tmp_path / "empty"):
        assert written(tmp_path / "empty") == {}


def test_a_killed_process_is_an_error(
    two_grids: list[Any], titles: Labels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        apart(monkeypatch) as started,
        pytest.raises(RuntimeError, match=r"^the process that draws figures ended with -9$"),
        drawn_meanwhile(two_grids, titles, tmp_path),
    ):
        started[0].kill()


def test_matrices_and_fronts_are_drawn_and_counted_by_their_panels(tmp_path: Path) -> None:
    runs = frame([run("ft | rmu", wmdp=0.3, mmlu=0.5), run("rmu | ft", wmdp=0.4, mmlu=0.6)])
    points = co.point(runs)
    (matrices,) = heats(points, co.area(points), titles_of(runs))
    settings = {"order": "wanda → rmu", "strength": "s", "level": [1, 2], "average_bits": [8, 9.0]}
    pair = points.iloc[0].replace({"ft": "wanda"})
    fronts = front_grids(
        [(pair, pd.DataFrame(settings | {"mmlu": [0.5, 0.6]}))] * 3, {"mmlu": ""}, titles_of(runs)
    )
    drawables: list[Any] = [matrices, *fronts]
    draw_all(drawables, titles_of(runs), tmp_path)
    assert sorted(written(tmp_path)) == sorted(f"{figure.name}.png" for figure in drawables)
    assert [drawing._count_panels(figure) for figure in drawables] == [2, 3]
