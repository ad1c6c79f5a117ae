import re

from analysis.report.hypotheses.page import findings_page
from analysis.report.hypotheses.paper import TITLES, parts
from analysis.report.hypotheses.parts import judge_parts
from tests.analysis.report.hypotheses.stores import LEVELS, as_the_paper, nothing, store

PARTS = parts(LEVELS)
PAGE = findings_page(
    {
        "auto": judge_parts(PARTS, store(nothing, 0)),
        "paper": judge_parts(PARTS, store(as_the_paper, 0)),
    },
    "testbed",
    LEVELS,
    10,
)


def test_the_verdicts_of_both_policies_stand_side_by_side() -> None:
    assert "| finding | `recompress=auto` | `recompress=paper` |" in PAGE
    assert "| 1. Compression degrades edits | cannot be told | holds |" in PAGE
    assert "at sparsity 0.25 and 0.65, 4 and 3 bits, over 10 batches of edits" in PAGE


def test_every_part_has_effect_interval_p_and_verdict_under_each_policy() -> None:
    rows = [line for line in PAGE.splitlines() if line.endswith(("holds |", "told |", ") |"))]
    assert len(rows) == 2 * len(PARTS) + len(TITLES)
    holds = next(line for line in rows if line.startswith("| Wanda before") and "| holds" in line)
    assert re.search(r"\| 0\.1\d\d \| 0\.1\d\d to 0\.1\d\d \| <0\.001 \| <0\.001 \| 10 edit", holds)


def test_a_bar_of_a_composition_is_no_cell() -> None:
    lacking = store(as_the_paper, 0).table.drop(columns="ft | awq(bits=3)", level=0)
    values = type(store(nothing, 0))(lacking)
    page = findings_page({"auto": judge_parts(PARTS, values)}, "testbed", LEVELS, 10)
    assert r"(not run: ft \| awq(bits=3))" in page
