"""What is written of numbers made by hand: which file has which, and the columns left out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.report import files
from analysis.report.collect import ItemChanges
from analysis.report.files import write_files
from analysis.tables.table import Block, Table

POINTS = pd.DataFrame(
    {
        "point": [0, 1],
        "settings": ["a", "b"],
        "context": ["=model", "m"],
        "backward": [0.2, 0.3],
        "forward": [0.1, 0.2],
        "order_sensitivity": [0.1, 0.1],
        "order_free_error": [0.8, 0.7],
        "level": [0.25, None],
        "criterion": ["mmlu", "wmdp"],
        "partner": ["wanda", "awq"],
        "intervention": ["ft", "rmu"],
        "forward_runs": [("f", "g"), ()],
        "backward_runs": [("b",), ("c",)],
        "runs": [("f", "b"), ("c",)],
    }
)
COMPOSABILITY = """\
intervention,partner,criterion,level,forward,backward,order_free_error,order_sensitivity,\
context,forward_runs,backward_runs,runs
ft,wanda,mmlu,0.25,0.1,0.2,0.8,0.1,'=model,f g,b,f b
rmu,awq,wmdp,,0.2,0.3,0.7,0.1,m,,c,c
"""


def numbered(name: str) -> pd.DataFrame:
    return pd.DataFrame({"name": [name], "runs": [("a", "b")]})


def table() -> Table:
    values = pd.DataFrame({("mmlu",): [0.5]}, index=["Wanda"])
    return Table(2, "a caption", "m", [Block(values, values > 1, values)])


def figure(name: str) -> tuple[str, str, str]:
    return name, "a caption", f"drawn {name}"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], Path]]:
    """Which figures are drawn where; all that is computed is replaced by what is made here."""
    drawings: list[tuple[list[str], Path]] = []

    @contextmanager
    def drawn_meanwhile(drawables: list[str], titles: Any, folder: Path) -> Iterator[None]:
        assert titles == "titles"
        drawings.append((drawables, folder))
        folder.mkdir(parents=True, exist_ok=True)
        yield

    collected = SimpleNamespace(
        points=POINTS,
        areas=numbered("areas"),
        wins=numbered("wins"),
        order=numbered("order"),
        lost=numbered("losses"),
        restored=numbered("restored"),
        merges=None,
        tables=[table()],
        heats=["heat"],
        fronts=["front"],
    )
    page = SimpleNamespace(
        figures=[figure("curves")], heats=[figure("heat")], fronts=[figure("front")]
    )
    for name, value in {
        "grids_of": lambda prepared: ["curves"],
        "drawn_meanwhile": drawn_meanwhile,
        "read_items": lambda prepared: "items",
        "collect": lambda *values: collected if values[1:] == ("items", ["curves"]) else None,
        "read_item_changes": lambda prepared: prepared.changes,
        "content": lambda *values: page if values[1] is collected else None,
        "render": lambda content: "the page",
        "standalone": lambda figure: f"{figure} alone",
    }.items():
        monkeypatch.setattr(files, name, value)
    return drawings


def written(folder: Path, changes: ItemChanges | None) -> dict[str, str]:
    """Return the text of every file that is written."""
    prepared: Any = SimpleNamespace(titles="titles", changes=changes)
    write_files(prepared, folder)
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def test_everything_computed_is_in_a_file_of_its_own(
    drawn: list[tuple[list[str], Path]], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "analysis"
    changes = ItemChanges(numbered("counts"), numbered("items"), 1)
    texts = written(folder, changes)
    assert drawn == [(["curves"], folder / "figures"), (["heat", "front"], folder / "figures")]
    tables = {f"tables/table2.{kind}": texts.pop(f"tables/table2.{kind}") for kind in ("md", "tex")}
    assert all("Table 2. a caption" in text.replace("*", "") for text in tables.values())
    names = ("areas", "wins", "order", "losses", "restored", "items")
    assert texts == {
        "composability.csv": COMPOSABILITY,
        **{f"{name}.csv": f"name,runs\n{name},a b\n" for name in names},
        "tables/table2.csv": "composition,mmlu\nWanda,0.5\n",
        **{f"figures/{name}.html": f"drawn {name} alone" for name in ("curves", "heat", "front")},
        "report.html": "the page",
    }


def test_what_was_not_computed_has_no_file_and_a_folder_may_be_there_already(
    drawn: list[tuple[list[str], Path]], tmp_path: Path
) -> None:
    written(tmp_path, None)
    names = {path.name for path in tmp_path.glob("*.csv")}
    assert names == {
        *("composability.csv", "areas.csv", "wins.csv", "order.csv", "losses.csv", "restored.csv")
    }
