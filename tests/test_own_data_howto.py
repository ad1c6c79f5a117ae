"""The page on a reader's own model and data, done as it is printed, on two small models."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from composability.command import main
from interventions.data.own.data_set import DataSet
from interventions.data.own.reading import read_data_set
from tests.anatomies import zoo
from tests.anatomies.texts import sentences
from tests.checkouts import ROOT
from tracking import query

PAGE = (ROOT / "docs" / "howto" / "own-data.md").read_text()
SETTLED = ("edit_success", "towns", "wikitext_ppl")


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def write_data(folder: Path) -> None:
    """Write the page's file, and what it names: ten edits, twenty questions and texts."""
    (folder / "ours.yaml").write_text(snippets("yaml")[0])
    line, towns = snippets("json")[0].strip(), snippets("text")[0].strip()
    edits = [json.loads(line.replace("Vesk", f"Vesk {number}")) for number in range(10)]
    (folder / "edits.jsonl").write_text("\n".join(map(json.dumps, edits)))
    header, row = csv.reader(towns.splitlines())
    rows = [[row[0].replace("Ebba", f"Ebba {number}"), *row[1:]] for number in range(20)]
    with (folder / "towns.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    (folder / "calibration.txt").write_text("\n\n".join(sentences(24, seed=3)))
    (folder / "prose.txt").write_text(" ".join(sentences(24, seed=5)))


def commands() -> list[list[str]]:
    printed = re.findall(r"^composability .+$", PAGE, re.MULTILINE)
    return [shlex.split(line)[1:] for line in printed]


@pytest.mark.full
@pytest.mark.parametrize("anatomy", ["phi3", "gpt2"])
def test_the_pages_commands_lead_to_a_comparison_of_both_orders(
    anatomy: str, local_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    zoo.build(anatomy, tmp_path / "models").rename(tmp_path / "ours")
    write_data(tmp_path)
    looked, swept, analyzed = commands()
    assert main(looked) == 0
    first = query.compositions().iloc[0]
    assert {name for name in (*SETTLED, "sparsity") if name in first} == {
        "towns", "wikitext_ppl", "sparsity",
    }  # fmt: skip
    assert len(query.items([first.run_id], ["towns"])) == 10
    assert main(swept) == 0
    runs = query.compositions()
    in_grid = runs[runs.sweep != ""]
    assert set(in_grid.pair) == {"none", "ft", "wanda", "ft + wanda"}
    assert in_grid.run_name.str.contains("→").sum() == 4  # two orders, two batches
    assert set(runs.data) == {str(read_data_set(tmp_path / "ours.yaml"))}
    assert main(analyzed) == 0
    table = (tmp_path / "comparison" / "composability.csv").read_text()
    assert "edit_success" in table and "towns" in table


def test_the_pages_python_makes_a_data_set() -> None:
    names: dict[str, object] = {}
    exec(snippets("python")[0], names)
    data = names["data"]
    assert isinstance(data, DataSet) and data.name == "rivers"
    assert [edit.target for edit in data.batch().edits] == ["Tarn", "flute"]


def test_the_page_quotes_an_error_as_it_is(tmp_path: Path) -> None:
    rows = [
        {"subject": f"S{number}", "prompt": f"S{number} was built in", "target": target}
        for number, target in enumerate(["one", "two", 1945])
    ]
    (tmp_path / "edits.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "ours.yaml").write_text("edits: edits.jsonl")
    with pytest.raises(ValueError) as error:
        read_data_set(tmp_path / "ours.yaml")
    assert f"error: {error.value}\n" in PAGE
