import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.labels import Labels, number, suffixes
from analysis.metrics import composability as co
from analysis.metrics.align import both_orders
from analysis.tables import layouts
from analysis.tables.table import WINS, Table, save
from tests.analysis.synthetic import curve, frame, run
from tests.analysis.test_points import TABLE_2
from tracking.catalogue import InterventionFacts, as_tag
from tracking.published import CRITERIA, rows


def composed(runs: pd.DataFrame) -> dict[int, Table]:
    points = co.point(runs)
    at = co.point(runs, levels=layouts.chosen_levels(points))
    return {
        table.number: table for table in layouts.composed(at, Labels(both_orders(runs).catalogue))
    }


def appendix(runs: pd.DataFrame) -> dict[int, Table]:
    return {table.number: table for table in layouts.appendix(both_orders(runs), co.point(runs))}


def test_table_2_has_the_papers_layout(published: pd.DataFrame) -> None:
    blocks = composed(published)[2].blocks
    assert [list(block.values.index) for block in blocks] == [
        ["Wanda", "SparseGPT", "AWQ", "GPTQ", "Average"]
    ] * 2
    for block, criteria in zip(
        blocks, (["Edit success ↑", "Generalization ↑"], ["Locality ↑", "MMLU ↑"]), strict=True
    ):
        expected = [
            (criterion, measure, method)
            for criterion in criteria
            for measure in ("Order-free error ↓", "Order sensitivity ↓")
            for method in ("FT", "MEMIT", "LoRA")
        ]
        assert block.values.columns.tolist() == [*expected, (WINS, "", "")]  # type: ignore[comparison-overlap]


def test_table_2_has_the_papers_numbers(published: pd.DataFrame) -> None:
    methods = {"wanda": "Wanda", "sparsegpt": "SparseGPT", "awq": "AWQ", "gptq": "GPTQ"}
    edits = {"ft": "FT", "memit": "MEMIT", "lora": "LoRA"}
    criteria = {"edit_success": "Edit success ↑", "edit_generalization": "Generalization ↑"}
    titles = {**methods, **edits, **criteria, "edit_locality": "Locality ↑", "mmlu": "MMLU ↑"}
    wide: Any = pd.concat([block.values for block in composed(published)[2].blocks], axis=1)
    for cell in pd.read_csv(TABLE_2).itertuples():
        place = titles[str(cell.criterion)], titles[str(cell.column)]
        for measure, printed in (
            ("Order-free error ↓", cell.order_free_error),
            ("Order sensitivity ↓", cell.order_sensitivity),
        ):
            assert (
                abs(
                    wide.loc[titles[str(cell.row)], (place[0], measure, place[1])]
                    - float(str(printed))
                )
                <= 0.0101
            )


def test_the_wins_of_table_2_on_edits_are_the_papers(published: pd.DataFrame) -> None:
    """On locality and MMLU the compositions, printed to two decimals, give 1 4 4 2 where the paper prints 0 4 5 2."""
    edits, rest = (
        block.values[(WINS, "", "")].dropna().astype(int).tolist()
        for block in composed(published)[2].blocks
    )
    assert edits == [6, 4, 12, 0]
    assert rest == [1, 4, 4, 2]


def test_tables_3_and_4_are_those_of_an_independent_computation(published: pd.DataFrame) -> None:
    """From the CSV alone, with none of our code: the better of the two printed values, and their difference."""
    printed: Any = pd.DataFrame(
        [{**dict.fromkeys(("one", "other", "level"), None), **row.values,
          "one": row.steps[0], "other": row.steps[1]} for row in rows() if len(row.steps) == 2]
    ).set_index(["one", "other"])  # fmt: skip
    made = composed(published)
    columns = {"GA": "ga", "GD": "gd", "RMU": "rmu", "FT": "ft", "MEMIT": "memit", "LoRA": "lora"}
    levels = {"Wanda": ("wanda", 0.25), "SparseGPT": ("sparsegpt", 0.25), "AWQ": ("awq", 4), "GPTQ": ("gptq", 4),
              "GA": ("ga", None), "GD": ("gd", None), "RMU": ("rmu", None)}  # fmt: skip
    criteria = {
        "WMDP ↓": "wmdp",
        "MMLU ↑": "mmlu",
        "Edit success ↑": "edit_success",
        "Generalization ↑": "edit_generalization",
    }
    checked = 0
    for number_ in (3, 4):
        for block in made[number_].blocks:
            header: Any = block.values.columns[:-1]
            for criterion, measure, column in header:
                for row in block.values.index[:-1]:
                    one, other = (columns[column], None), levels[row]
                    values = [
                        printed[criteria[criterion]][pair] for pair in ((one, other), (other, one))
                    ]
                    better = min(values) if "↓" in criterion else 1 - max(values)
                    expected = better if "error" in measure else abs(values[0] - values[1])
                    assert block.values.loc[row, (criterion, measure, column)] == pytest.approx(
                        expected, abs=1e-12
                    )
                    checked += 1
    assert checked == 120  # 48 cells of Table 3, 72 of Table 4


def test_tables_8_to_14_have_every_row_of_the_paper_in_its_order(published: pd.DataFrame) -> None:
    made = appendix(published)
    assert set(made) == set(range(8, 15))
    for number_, table in made.items():
        expected = [
            [row.values[name] for name in CRITERIA] for row in rows() if row.table == number_
        ]
        assert table.blocks[0].values.to_numpy().tolist() == expected


def test_rows_are_named_as_in_the_paper(published: pd.DataFrame) -> None:
    made = appendix(published)
    assert list(made[8].blocks[0].values.index[:5]) == [
        "None",
        "FT",
        "MEMIT",
        "LoRA",
        "SparseGPT (0.25)",
    ]
    assert made[9].blocks[0].values.index[12] == "FT → GPTQ (2-Bit)"
    assert made[10].blocks[0].values.index[0] == "SparseGPT (0.25) → FT"
    assert made[14].blocks[0].values.index[-1] == "RMU → LoRA"


def test_the_best_of_a_group_is_bold_and_a_tie_is_not(published: pd.DataFrame) -> None:
    block = composed(published)[2].blocks[0]
    best = block.best[("Edit success ↑", "Order-free error ↓", "FT")]
    assert list(best.index[best]) == ["AWQ"]  # Wanda and SparseGPT both have 0.01
    assert "**0.01**" in composed(published)[2].markdown()


def test_every_number_has_the_runs_it_came_from(published: pd.DataFrame) -> None:
    names = published.set_index("run_id").run_name
    block = composed(published)[2].blocks[0]
    cell: Any = block.runs.loc["Wanda", ("Edit success ↑", "Order-free error ↓", "FT")]
    assert [names[run_id] for run_id in cell] == [
        "ft → wanda(sparsity=0.25)",
        "wanda(sparsity=0.25) → ft",
    ]
    for table in (*composed(published).values(), *appendix(published).values()):
        for part in table.blocks:
            there = part.values.notna().to_numpy()
            assert all(isinstance(ids, tuple) and ids for ids in part.runs.to_numpy()[there])


def test_csv_reads_back_with_all_digits(published: pd.DataFrame) -> None:
    table = composed(published)[2]
    read = pd.read_csv(io.StringIO(table.csv()), index_col=0)
    whole = pd.concat([block.values for block in table.blocks], axis=1)
    np.testing.assert_array_equal(read.to_numpy(), whole.to_numpy())


def test_markdown_and_latex_have_a_line_per_row(published: pd.DataFrame) -> None:
    table = appendix(published)[11]
    lines = table.markdown().splitlines()
    assert sum(line.lstrip("| ").startswith(("GA", "GD", "RMU")) for line in lines) == 66
    assert "∞" in table.markdown()
    latex = table.latex()
    assert latex.count(r"\\") == 66 + 2  # and two header lines
    assert r"GA $\rightarrow$ SparseGPT (0.25)" in latex and r"$\infty$" in latex
    assert not set(latex) & set("→∞↑↓–")


def test_names_cannot_break_latex() -> None:
    about = as_tag({"odd_one": InterventionFacts("Odd_One & 50%", "compression", "ratio")})
    runs = [run(order, edit_success=0.9, about_interventions=about, **{"odd_one.ratio": 0.5})
            for order in ("ft | odd_one", "odd_one | ft")]  # fmt: skip
    assert r"Odd\_One \& 50\%" in composed(frame(runs))[2].latex()


def test_variants_are_rows_and_columns_of_their_own() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8], **{"ft.lr": 1e-3, "wanda.samples": 64}),
        *curve("ft", "wanda", [0.25], [0.7], [0.6], **{"ft.lr": 1e-3, "wanda.samples": 128}),
    ]
    (block,) = composed(frame(runs))[2].blocks
    assert list(block.values.index) == ["Wanda (samples=128)", "Wanda (samples=64)", "Average"]
    assert list(block.values.iloc[:2, 0]) == pytest.approx([0.3, 0.1])
    assert list(block.values[(WINS, "", "")].iloc[:2]) == [0, 1]


def test_contexts_have_tables_of_their_own(published: pd.DataFrame, tmp_path: Path) -> None:
    own = frame(curve("ft", "wanda", [0.25], [0.9], [0.8], model="testbed", data="testbed"))
    both = pd.concat([published, own], ignore_index=True)
    points = co.point(both, levels={"sparsity": 0.25, "bits": 4})
    made = layouts.composed(points, Labels(both_orders(both).catalogue))
    assert [(table.number, table.context) for table in made[:2]] == [
        (2, "model=meta-llama/Meta-Llama-3-8B, data=paper"), (2, "model=testbed, data=testbed"),
    ]  # fmt: skip
    names = {path.name for path in save(made, tmp_path)}
    assert {
        "table2-model-testbed-data-testbed.md",
        "table2-model-meta-llama-meta-llama-3-8b-data-paper.csv",
    } <= names


def test_levels_are_the_papers_or_the_nearest_that_both_orders_have() -> None:
    runs = [
        *curve("ft", "wanda", [0.3, 0.6], [0.9] * 2, [0.8] * 2), *curve("ft", "awq", [2, 4], [0.9] * 2, [0.8] * 2),
        run("ft | wanda", level=0.25, edit_success=0.9),
    ]  # fmt: skip
    assert layouts.chosen_levels(co.point(frame(runs))) == {"sparsity": 0.3, "bits": 4.0}


def test_files_of_different_contexts_have_different_names() -> None:
    assert suffixes(["a=1"]) == {"a=1": ""}
    assert suffixes(["a=1", "a 1", "b"]) == {"a=1": "-a-1", "a 1": "-a-1-2", "b": "-b"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.254, "0.25"),
        (12.929, "12.93"),
        (1748954.75, "1.7e+06"),
        (math.inf, "∞"),
        (math.nan, "–"),
        (0.0, "0.00"),
    ],
)
def test_numbers_are_readable(value: float, text: str) -> None:
    assert number(value) == text


def test_the_csv_has_one_row_per_method_and_no_blank_lines(published: pd.DataFrame) -> None:
    lines = list(csv.reader(io.StringIO(composed(published)[4].csv())))
    assert [line[0] for line in lines] == ["composition", "GA", "GD", "RMU", "Average"]
    assert len({len(line) for line in lines}) == 1
