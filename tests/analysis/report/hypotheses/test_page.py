import re
from dataclasses import replace

import pandas as pd

from analysis.report.hypotheses.cells import BATCHES
from analysis.report.hypotheses.contrasts import CellValues
from analysis.report.hypotheses.page import Judged, findings_page
from analysis.report.hypotheses.paper import TITLES, parts
from analysis.report.hypotheses.parts import HOLDS, Part, PartResult, judge_parts
from analysis.report.hypotheses.presets.all import paper_preset, presets_named
from analysis.report.hypotheses.presets.preset import Preset
from tests.analysis.report.hypotheses.stores import LEVELS, as_the_paper, nothing, store

HEADER = (
    "| part | effect | 95% interval | p | p (Holm) | over | verdict |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)
PARTS = parts(LEVELS)
EMPTY = CellValues.from_runs(pd.DataFrame(), [])
PAPER = paper_preset(LEVELS)
RESULTS = {
    "auto": judge_parts(PARTS, store(nothing, 0)),
    "paper": judge_parts(PARTS, store(as_the_paper, 0)),
}
PAGE = findings_page([Judged(PAPER, "testbed", RESULTS)], 10)


def test_the_verdicts_of_both_policies_stand_side_by_side() -> None:
    assert "| finding | `recompress=auto` | `recompress=paper` |" in PAGE
    assert "| 1. Compression degrades edits | cannot be told | holds |" in PAGE
    assert "Tested on testbed, over 10 edit batches and as many seeds where all were run." in PAGE
    assert "At sparsity 0.25 and 0.65, 4 and 3 bits." in PAGE


def test_every_part_has_effect_interval_p_and_verdict_under_each_policy() -> None:
    rows = [line for line in PAGE.splitlines() if line.endswith(("holds |", "told |", ") |"))]
    assert len(rows) == 2 * len(PARTS) + len(TITLES)
    holds = next(line for line in rows if line.startswith("| Wanda before") and "| holds" in line)
    assert re.search(r"\| 0\.1\d\d \| 0\.1\d\d to 0\.1\d\d \| <0\.001 \| <0\.001 \| 10 edit", holds)


def test_a_bar_of_a_composition_is_no_cell() -> None:
    values = store(as_the_paper, 0)
    lacking = values[BATCHES].table.drop(columns="ft | awq(bits=3)", level=0)
    values[BATCHES] = CellValues(lacking)
    page = findings_page([Judged(PAPER, "testbed", {"auto": judge_parts(PARTS, values)})], 10)
    assert r"(not run: ft \| awq(bits=3))" in page


def test_of_several_presets_the_page_begins_with_all_verdicts() -> None:
    (sparse,) = presets_named("unlearning-sparse")
    nothing_run = {"auto": judge_parts(sparse.parts, {"seeds": EMPTY, "questions": EMPTY})}
    page = findings_page(
        [Judged(PAPER, "testbed", RESULTS), Judged(sparse, "testbed", nothing_run)], 10
    )
    summary, _, rest = page.partition("A finding *holds*")
    assert page.startswith("# Published findings, tested\n")
    assert "| paper: Compression degrades edits | paper | holds |" in summary
    assert "| unlearning-sparse: Unlearning is weaker on a sparse model | auto | cannot" in summary
    assert "\n## Unlearning is weaker on a sparse model\n" in rest
    assert "(arXiv 2602.00577)" in rest and page.count("A finding *holds*") == 1


def test_what_a_part_says_of_the_values_stands_beside_its_verdict() -> None:
    noted = replace(RESULTS["paper"][0], note="best: ft | awq")
    page = findings_page([Judged(PAPER, "testbed", {"auto": [noted]})], 10)
    assert r"| holds (best: ft \| awq) |" in page


def test_a_page_has_the_rows_of_each_finding_and_no_other() -> None:
    def of_finding(number: int, unit: str) -> Part:
        return Part(number, f"claim {number}", unit, BATCHES, ("a",), lambda values: [])

    results = [
        PartResult(of_finding(1, "squared x"), 0.12345, 0.01234, 0.23456, 0.0004, 0.012, 5, HOLDS),
        PartResult(of_finding(2, "x"), 0.12345, reason="1 more"),
    ]
    preset = Preset(
        "mine", "My heading", ("arXiv 1", "arXiv 2"), "It is so.", "By runs.",
        {1: "First", 2: "Second"}, (), tuple(result.part for result in results),
    )  # fmt: skip
    page = findings_page([Judged(preset, "m", {"never": results})], 4).split("\n\n")
    assert page[:4] + page[5:] == [
        "# My heading",
        "It is so. (arXiv 1, arXiv 2)",
        "Tested on m, over 4 edit batches where all were run. By runs. `composability findings"
        " --preset mine --run` computes what is missing and writes this page.",
        "| finding | `recompress=never` |\n| --- | --- |\n| 1. First | holds |\n"
        "| 2. Second | cannot be told |",
        "## With `recompress=never`",
        "**1. First: holds.**",
        f"{HEADER}\n| claim 1 (squared x) | 0.1235 | 0.0123 to 0.2346 | <0.001 | 0.012"
        " | 5 edit batches | holds |",
        "**2. Second: cannot be told.**",
        f"{HEADER}\n| claim 2 (x) | 0.123 | – | – | – | 0 edit batches | cannot be told (1 more)"
        " |\n",
    ]
