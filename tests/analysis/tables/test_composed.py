import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.labels import Labels
from analysis.metrics.composability import cells, duels, point
from analysis.tables.composed import composed_tables
from analysis.tables.table import WINS
from tests.analysis.printed import TABLE_2
from tests.analysis.synthetic import curve, frame, run
from tests.analysis.tables.printed_tables import appendix, composed
from tracking.catalogue import Catalogue
from tracking.published import rows


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
        header: Any = block.values.columns.tolist()
        assert header == [*expected, (WINS, "", "")]


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
    """On locality and MMLU the rounded compositions give 1 4 4 2, the paper prints 0 4 5 2."""
    edits, rest = (
        block.values[(WINS, "", "")].dropna().astype(int).tolist()
        for block in composed(published)[2].blocks
    )
    assert edits == [6, 4, 12, 0]
    assert rest == [1, 4, 4, 2]


def test_tables_3_and_4_are_those_of_an_independent_computation(published: pd.DataFrame) -> None:
    """Reference: the better of the two printed values and their difference, from the CSV."""
    printed = {row.steps: row.values for row in rows() if len(row.steps) == 2}
    tables = composed(published)
    columns = {"GA": "ga", "GD": "gd", "RMU": "rmu", "FT": "ft", "MEMIT": "memit", "LoRA": "lora"}
    steps = {
        "Wanda": ("wanda", 0.25),
        "SparseGPT": ("sparsegpt", 0.25),
        "AWQ": ("awq", 4),
        "GPTQ": ("gptq", 4),
        "GA": ("ga", None),
        "GD": ("gd", None),
        "RMU": ("rmu", None),
    }
    criteria = {
        "WMDP ↓": "wmdp",
        "MMLU ↑": "mmlu",
        "Edit success ↑": "edit_success",
        "Generalization ↑": "edit_generalization",
    }
    checked = 0
    for block in (*tables[3].blocks, *tables[4].blocks):
        header: Any = block.values.columns[:-1]
        for (criterion, measure, column), row in itertools.product(header, block.values.index[:-1]):
            pair = (columns[column], None), steps[row]
            forward, backward = (printed[p][criteria[criterion]] for p in (pair, pair[::-1]))
            expected = abs(forward - backward)
            if "error" in measure:
                lower = "↓" in criterion
                expected = min(forward, backward) if lower else 1 - max(forward, backward)
            shown = block.values.loc[row, (criterion, measure, column)]
            assert shown == pytest.approx(expected, abs=1e-12)
            checked += 1
    assert checked == 120  # 48 cells of Table 3, 72 of Table 4


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
            has_number = part.values.notna().to_numpy()
            assert all(isinstance(ids, tuple) and ids for ids in part.runs.to_numpy()[has_number])


def test_variants_are_rows_and_columns_of_their_own() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8], **{"ft.lr": 1e-3, "wanda.samples": 64}),
        *curve("ft", "wanda", [0.25], [0.7], [0.6], **{"ft.lr": 1e-3, "wanda.samples": 128}),
    ]
    (block,) = composed(frame(runs))[2].blocks
    assert list(block.values.index) == ["Wanda (samples=128)", "Wanda (samples=64)", "Average"]
    assert list(block.values.iloc[:2, 0]) == pytest.approx([0.3, 0.1])
    assert list(block.values[(WINS, "", "")].iloc[:2]) == [0, 1]


def pruned(model: str, wanda: float, sparsegpt: float) -> list[dict[str, Any]]:
    return [
        *curve("ft", "wanda", [0.25], [wanda], [0.1], model=model),
        *curve("ft", "sparsegpt", [0.25], [sparsegpt], [0.1], model=model),
    ]


def test_wins_are_counted_within_a_context() -> None:
    runs = frame([*pruned("large", 0.9, 0.8), *pruned("small", 0.7, 0.8)])
    points = point(runs)
    first, second = composed_tables(points, Labels(Catalogue()))
    assert (first.context, second.context) == ("model=large, data=d", "model=small, data=d")
    for table, winner in ((first, "Wanda"), (second, "SparseGPT")):
        errors = table.blocks[0].best.iloc[:, 0]
        assert list(errors.index[errors]) == [winner]
    # of the two measures: the larger success has the larger sensitivity
    assert [list(t.blocks[0].values[(WINS, "", "")].dropna()) for t in (first, second)] == [
        [1, 1],
        [1, 1],
    ]


def test_differences_within_the_noise_are_no_wins() -> None:
    points = point(frame(pruned("large", 0.9, 0.8)))
    fought = duels(cells(points))
    (table,) = composed_tables(points, Labels(Catalogue()), pd.Series(True, index=fought.index))
    assert table.blocks[0].values[(WINS, "", "")].dropna().tolist() == [0, 0]


def test_rounding_of_floats_makes_no_method_the_best() -> None:
    points = point(frame(pruned("large", 0.8 - 0.1, 0.7)))
    (table,) = composed_tables(points, Labels(Catalogue()))
    assert not table.blocks[0].best.to_numpy().any()


def test_groups_stay_together_and_methods_that_the_paper_lacks_come_last_in_theirs() -> None:
    runs = pruned("large", 0.9, 0.8)
    for method, level in (("magnitude", 0.25), ("rtn", 4), ("gptq", 4)):
        runs += curve("ft", method, [level], [0.5], [0.4], model="large")
    (table,) = composed_tables(point(frame(runs)), Labels(Catalogue()))
    levels = "at 4 bits and sparsity 0.25"
    assert table.caption == f"Editing and compression: {levels}; model=large, data=d"
    values: Any = table.blocks[0].values
    assert list(values.index) == ["Wanda", "SparseGPT", "Magnitude", "GPTQ", "RTN", "Average"]
    assert values.iloc[-1, 0] == pytest.approx((0.1 + 0.2 + 0.5 + 0.5 + 0.5) / 5)


def test_a_caption_of_pairs_without_levels_names_none() -> None:
    runs = frame(run(steps, edit_success=0.5) for steps in ("ft | rmu", "rmu | ft"))
    (table,) = composed_tables(point(runs), Labels(Catalogue()))
    assert table.caption == "Editing and unlearning: model=m, data=d"


def test_wins_and_averages_come_from_all_runs_of_their_row_or_column() -> None:
    runs = [*pruned("m", 0.9, 0.8), *curve("lora", "wanda", [0.25], [0.9], [0.8])]
    (table,) = composed_tables(point(frame(runs)), Labels(Catalogue()))
    cell_runs: Any = table.blocks[0].runs
    assert len(cell_runs.loc["Wanda", (WINS, "", "")]) == 4
    assert len(cell_runs.loc["SparseGPT", (WINS, "", "")]) == 2
    assert len(cell_runs.loc["Average"].iloc[0]) == 4
    averaged = [run_ids for _, run_ids in cell_runs.loc["Average"].items()]
    of_method = {
        name: tuple(dict.fromkeys(run_id for ids in cell_runs[name][:-1] for run_id in _ids(ids)))
        for name in cell_runs.columns
    }
    assert averaged[:-1] == list(of_method.values())[:-1]
    assert set(averaged[-1]) == {entry["run_id"] for entry in runs}


def _ids(run_ids: Any) -> tuple[str, ...]:
    """Return the runs of a cell; none of a cell without a value."""
    return run_ids if isinstance(run_ids, tuple) else ()


def test_an_interval_stands_beside_a_number_where_both_ends_are_finite() -> None:
    points = point(frame(pruned("large", 0.9, 0.8)))
    low, high = "order_free_error_low", "order_free_error_high"
    ends = points.assign(order_sensitivity_low=np.nan, order_sensitivity_high=np.nan)
    ends[low], ends[high] = [0.0512, 0.1], [0.1488, np.inf]
    (table,) = composed_tables(ends, Labels(Catalogue()))
    (block,) = table.blocks
    shown = [[block.interval(row, column) for column in range(3)] for row in range(3)]
    wanda = ["0.05 to 0.15", "", ""]
    by_pair = dict(zip(points.partner, [wanda, [""] * 3], strict=True))
    assert shown == [by_pair["wanda"], by_pair["sparsegpt"], [""] * 3]
    ends[high] = np.nan
    for without in (points, ends):
        assert composed_tables(without, Labels(Catalogue()))[0].blocks[0].intervals is None
