"""The page of contents made by hand: what it cuts, and which figure brings plotly's script."""

import re
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

from analysis.report.answer import PairAnswer
from analysis.report.page import Content, render, standalone
from analysis.tables.table import Block, Table
from tests.analysis.report.made_up import section

SCRIPT = "plotly.js v"


def block(rows: int) -> Block:
    values = pd.DataFrame({"number": [0.5] * rows})
    return Block(values, values > 1, values)


def rendered(**parts: Any) -> str:
    """Return the page of an experiment that has nothing else."""
    nothing: Any = dict.fromkeys(("side_by_side", "changes", "sequences", "restored", "merges"))
    empty: Any = dict.fromkeys(("answers", "tables", "figures", "heats", "fronts"), ())
    lines: Any = dict.fromkeys(("missing", "left_out", "notes"), ())
    blocks: Any = {name: block(0) for name in ("levels", "comparisons", "areas")}
    texts: Any = dict.fromkeys(("changes_note", "error_words", "over", "ui"), "")
    runs = pd.DataFrame({"run_id": ["a"], "experiment_id": ["1"]})
    about: Any = {"title": "made up", "runs": runs, "findings": {}, "confidence": 0.95}
    return render(Content(**nothing | empty | lines | blocks | texts | about | parts))


def figures(name: str, count: int) -> list[tuple[str, str, go.Figure]]:
    return [(f"{name}{number}", "a caption", go.Figure()) for number in range(count)]


@pytest.mark.parametrize(
    ("curves", "heats", "fronts", "first"),
    [
        (2, 0, 0, "curve0"),
        (1, 1, 0, "curve0"),
        (1, 0, 1, "curve0"),
        (0, 2, 0, "heat0"),
        (0, 1, 1, "heat0"),
        (0, 0, 2, "front0"),
    ],
)
def test_the_first_figure_of_the_page_alone_brings_plotlys_script(
    curves: int, heats: int, fronts: int, first: str
) -> None:
    html = rendered(
        figures=figures("curve", curves),
        heats=figures("heat", heats),
        fronts=figures("front", fronts),
    )
    assert html.count(SCRIPT) == 1
    names = re.findall(r'id="((?:curve|heat|front)\d)"', html)
    assert len(names) == curves + heats + fronts
    assert names[0] == first
    assert html.index("<h3>a caption</h3>") < html.index(SCRIPT) < html.index(f'id="{first}"')
    assert html.count("<html") == 1
    assert html.count('"displaylogo": false') == len(names)


def test_a_page_without_figures_has_no_script_of_plotly() -> None:
    assert SCRIPT not in rendered()


def test_a_figure_of_its_own_is_a_whole_page_with_the_script() -> None:
    html = standalone(go.Figure())
    assert html.startswith("<!doctype html>\n<html>") and html.rstrip().endswith("</html>")
    assert html.count(SCRIPT) == 1


@pytest.mark.parametrize(
    ("count", "note"),
    [
        (400, ""),
        (401, "<p>1 more pair: see order.csv.</p>"),
        (402, "<p>2 more pairs: see order.csv.</p>"),
    ],
)
def test_pairs_after_400_are_counted(count: int, note: str) -> None:
    texts = ("yes", "either", "sure", False, ("a",))
    answers = [PairAnswer(f"pair {number}", *texts) for number in range(count)]
    answer = section(rendered(answers=answers), "answer", "missing")
    pairs = re.findall(r'<tr><th><a class="r" data-r="0">pair (\d+)</a></th>', answer)
    assert pairs == [str(number) for number in range(400)]
    assert re.findall(r"<p>\d.*</p>", answer) == [note] * bool(note)


def test_every_table_that_is_cut_says_so() -> None:
    names = ("levels", "comparisons", "areas", "changes")
    html = rendered(changes_note="Read of 3 runs.", **{name: block(401) for name in names})
    assert html.count(" 1 more row is in the CSV file.") == len(names)
    assert "means over runs. Read of 3 runs. 1 more row is in the CSV file.</p>" in html


def test_what_steps_did_to_no_items_is_a_note_alone() -> None:
    items = section(rendered(changes_note="None were read."), "items", "all")
    assert "means over runs. None were read.</p>" in items and "<details>" not in items


def test_tables_2_to_4_stand_before_all_others() -> None:
    tables = [Table(number, "of pairs", "", [block(1)]) for number in (2, 4, 5, 8)]
    html = rendered(tables=tables)
    main, appendix = section(html, "tables", "comparisons"), section(html, "all", "how")
    assert re.findall(r"<h3>Table (\d)\.", main) == ["2", "4"]
    assert re.findall(r"<summary>Table (\d)\.", appendix) == ["5", "8"]


def test_the_page_has_no_blank_lines() -> None:
    html = rendered(findings={"a context": []}, tables=[Table(2, "of pairs", "", [block(2)])])
    assert not re.findall(r"\n[ \t]*\n", section(html, "answer", "how"))


def test_titles_and_sentences_are_text_and_no_markup() -> None:
    html = rendered(title="<i>one</i>", missing=["<i>two</i>"])
    assert "<i>" not in html and html.count("&lt;i&gt;") == 3
