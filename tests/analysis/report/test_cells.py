import numpy as np
import pandas as pd

from analysis.report.cells import (
    RunNumbers,
    absent_note,
    block_parts,
    cut_note,
    finding_parts,
    table_parts,
)
from analysis.report.findings.evidence import Finding
from analysis.tables.table import WINS, Block, Table

RUNS = RunNumbers(pd.DataFrame({"run_id": ["a", "b", "c"], "experiment_id": ["1", "1", "2"]}))


def block(values: pd.DataFrame) -> Block:
    runs = pd.DataFrame(index=values.index, columns=values.columns, dtype=object)
    for column in values.columns:
        runs[column] = pd.Series([("a", "c")] * len(values), index=values.index, dtype=object)
    return Block(values, values.notna() & False, runs)


def test_run_ids_are_written_as_numbers_and_unknown_ones_left_out() -> None:
    assert RUNS.text(("c", "a", "unknown")) == "2 0"
    assert RUNS.text(()) == ""
    assert RUNS.text(float("nan")) == ""


def test_a_finding_is_split_where_it_says_what_it_is_about() -> None:
    assert finding_parts(Finding("AWQ: it is best: so", ("b",)), RUNS) == (
        "AWQ: ",
        "it is best: so",
        "1",
    )
    assert finding_parts(Finding("Nothing much."), RUNS) == ("", "Nothing much.", "")


def test_equal_neighbours_of_a_header_are_one_cell() -> None:
    columns = pd.MultiIndex.from_tuples(
        [("Error", "FT"), ("Error", "LoRA"), ("Sensitivity", "FT"), ("Error", "FT")]
    )
    parts = block_parts(block(pd.DataFrame([[1.0, 2.0, 3.0, 4.0]], ["x"], columns)), RUNS)
    assert parts["header"] == [
        [("Error", 2), ("Sensitivity", 1), ("Error", 1)],
        [("FT", 1), ("LoRA", 1), ("FT", 1), ("FT", 1)],
    ]


def test_numbers_have_two_decimals_wins_none_and_a_missing_one_no_link() -> None:
    frame = pd.DataFrame([[0.256, 3.0, np.nan, "text"]], ["x"], ["error", WINS, "gap", "words"])
    ((label, cells),) = block_parts(block(frame), RUNS)["rows"]
    assert label == "x"
    assert [(text, runs) for text, _, runs, _ in cells] == [
        ("0.26", "0 2"),
        ("3", "0 2"),
        ("–", ""),
        ("text", "0 2"),
    ]


def test_the_best_number_is_marked() -> None:
    values = pd.DataFrame({"error": [0.1, 0.2]}, index=["x", "y"])
    marked = Block(values, values == 0.1, block(values).runs)
    best = [cells[0][1] for _, cells in block_parts(marked, RUNS)["rows"]]
    assert [bool(is_best) for is_best in best] == [True, False]


def test_a_long_table_is_cut_on_the_page_and_says_so() -> None:
    long = block(pd.DataFrame({"error": np.zeros(402)}, index=[str(i) for i in range(402)]))
    assert len(block_parts(long, RUNS)["rows"]) == 400
    assert cut_note(long) == " 2 more rows are in the CSV file."
    longer_by_one = block(long.values.iloc[:401])
    assert cut_note(longer_by_one) == " 1 more row is in the CSV file."
    whole = block(pd.DataFrame({"error": np.zeros(400)}, index=[str(i) for i in range(400)]))
    assert (len(block_parts(whole, RUNS)["rows"]), cut_note(whole)) == (400, "")


def test_an_empty_block_has_no_header() -> None:
    assert block_parts(block(pd.DataFrame()), RUNS) == {"header": [], "rows": []}


def test_a_table_has_its_number_caption_and_the_count_of_all_its_rows() -> None:
    values = pd.DataFrame({"error": [0.1, 0.2]}, index=["x", "y"])
    parts = table_parts(Table(3, "a caption", "context", [block(values)]), RUNS)
    assert (parts["number"], parts["caption"], parts["rows"]) == (3, "a caption", 2)


def test_absent_main_tables_are_named() -> None:
    tables = [Table(2, "", "", []), Table(8, "", "", [])]
    assert absent_note(tables) == " There are no pairs for Table 3 and 4."
    assert absent_note([Table(number, "", "", []) for number in (2, 3, 4)]) == ""


def test_an_interval_stands_beside_its_number() -> None:
    values = pd.DataFrame({"error": [0.1, 0.2]}, index=["x", "y"])
    intervals = pd.DataFrame({"error": ["0.05 to 0.15", None]}, index=["x", "y"])
    plain = block(values)
    rows = block_parts(Block(values, plain.best, plain.runs, intervals), RUNS)["rows"]
    assert [cells[0][3] for _, cells in rows] == ["0.05 to 0.15", ""]
