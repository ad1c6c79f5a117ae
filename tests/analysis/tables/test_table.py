import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.labels import Labels
from analysis.metrics.align import both_orders
from analysis.metrics.composability import point
from analysis.tables.composed import composed_tables
from analysis.tables.table import save_tables
from tests.analysis.synthetic import curve, frame, run
from tests.analysis.tables.printed_tables import appendix, composed
from tracking.catalogue import InterventionFacts, as_tag


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
    columns = {"about_interventions": about, "odd_one.ratio": 0.5}
    runs = [run(steps, edit_success=0.9, **columns) for steps in ("ft | odd_one", "odd_one | ft")]
    assert r"Odd\_One \& 50\%" in composed(frame(runs))[2].latex()


def test_contexts_have_tables_of_their_own(published: pd.DataFrame, tmp_path: Path) -> None:
    testbed = frame(curve("ft", "wanda", [0.25], [0.9], [0.8], model="testbed", data="testbed"))
    both = pd.concat([published, testbed], ignore_index=True)
    points = point(both, levels={"sparsity": 0.25, "bits": 4})
    tables = composed_tables(points, Labels(both_orders(both).catalogue))
    assert [(table.number, table.context) for table in tables[:2]] == [
        (2, "model=meta-llama/Meta-Llama-3-8B, data=paper"),
        (2, "model=testbed, data=testbed"),
    ]
    names = {path.name for path in save_tables(tables, tmp_path)}
    assert {
        "table2-model-testbed-data-testbed.md",
        "table2-model-meta-llama-meta-llama-3-8b-data-paper.csv",
    } <= names


def test_the_csv_has_one_row_per_method_and_no_blank_lines(published: pd.DataFrame) -> None:
    lines = list(csv.reader(io.StringIO(composed(published)[4].csv())))
    assert [line[0] for line in lines] == ["composition", "GA", "GD", "RMU", "Average"]
    assert len({len(line) for line in lines}) == 1


def test_wins_are_printed_as_whole_numbers_and_files_end_with_a_line(tmp_path: Path) -> None:
    runs = curve("ft", "wanda", [0.25], [0.9], [0.8])
    runs += curve("ft", "sparsegpt", [0.25], [0.7], [0.6])
    table = composed(frame(runs))[2]
    line = next(line for line in table.markdown().splitlines() if "Wanda" in line)
    assert line.replace(" ", "") == "|Wanda|**0.10**|0.10|–|–|1|"
    paths = save_tables([table], tmp_path / "made" / "on demand")
    assert [path.name for path in paths] == ["table2.md", "table2.csv", "table2.tex"]
    assert paths[0].read_text() == table.markdown() + "\n"
    assert all(path.read_text().endswith("\n") for path in paths)
