from typing import Any

import pandas as pd
import pytest

from analysis.metrics.align import both_orders
from analysis.metrics.composability import point
from analysis.tables.appendix import appendix_tables
from analysis.tables.layouts import ALONE, COMPOSED, SEQUENCES
from analysis.tables.table import Table
from tests.analysis.synthetic import curve, frame, run
from tests.analysis.tables.printed_tables import appendix
from tracking.catalogue import CriterionFacts, InterventionFacts, as_tag, house_interventions
from tracking.published import PRINTED_CRITERIA, rows


def appendix_tables_of(runs: list[dict[str, Any]]) -> list[Table]:
    table = frame(runs)
    return appendix_tables(both_orders(table), point(table))


def test_tables_8_to_14_have_every_row_of_the_paper_in_its_order(published: pd.DataFrame) -> None:
    tables = appendix(published)
    assert set(tables) == set(range(8, 15))
    for number, table in tables.items():
        expected = [
            [row.values[name] for name in PRINTED_CRITERIA] for row in rows() if row.table == number
        ]
        assert table.blocks[0].values.to_numpy().tolist() == expected


def test_runs_of_third_party_criteria_only_have_no_appendix() -> None:
    about = as_tag({"toxicity": CriterionFacts("lower", "share")})
    runs = curve("ft", "wanda", [0.5], [0.9], [0.8], criterion="toxicity", about_criteria=about)
    runs.append(run("ft", toxicity=0.5, about_criteria=about))
    assert appendix_tables_of(runs) == []


def test_rows_are_named_as_in_the_paper(published: pd.DataFrame) -> None:
    tables = appendix(published)
    assert list(tables[8].blocks[0].values.index[:5]) == [
        "None",
        "FT",
        "MEMIT",
        "LoRA",
        "SparseGPT (0.25)",
    ]
    assert tables[9].blocks[0].values.index[12] == "FT → GPTQ (2-Bit)"
    assert tables[10].blocks[0].values.index[0] == "SparseGPT (0.25) → FT"
    assert tables[14].blocks[0].values.index[-1] == "RMU → LoRA"


def test_runs_alone_are_averaged_over_replicates_within_their_context() -> None:
    pair = curve("ft", "wanda", [0.25], [0.9], [0.8])
    alone = [run("ft", edit_success=value, edit_batch=b) for b, value in enumerate([0.1, 0.2, 0.9])]
    elsewhere = run("lora", edit_success=0.5, model="other")
    tables = appendix_tables_of([*pair, *alone, elsewhere])
    first, second = (table.blocks[0] for table in tables if table.number == 8)
    assert (list(first.values.index), list(second.values.index)) == (["FT"], ["LoRA"])
    assert first.values.iloc[0, 0] == pytest.approx(0.4)
    run_ids: Any = first.runs.iloc[0, 0]
    assert len(run_ids) == 3
    assert not first.best.to_numpy().any()


def test_a_level_that_one_order_lacks_is_a_row_of_the_other_orders_table_alone() -> None:
    runs = curve("ft", "wanda", [0.25], [0.9], [0.8])
    runs.append(run("ft | wanda", level=0.5, edit_success=0.7))
    tables = {table.number: table.blocks[0].values for table in appendix_tables_of(runs)}
    assert list(tables[9].index) == ["FT → Wanda (0.25)", "FT → Wanda (0.5)"]
    assert list(tables[10].index) == ["Wanda (0.25) → FT"]
    assert tables[9].iloc[:, 0].tolist() == [0.9, 0.7]


def test_a_strength_that_counts_is_written_with_its_unit() -> None:
    facts = InterventionFacts("Chop", "compression", "layers")
    about = {"about_interventions": as_tag({"chop": facts}), "chop.layers": 2.0}
    runs = [run(steps, edit_success=0.9, **about) for steps in ("ft | chop", "chop | ft")]
    tables = {table.number: table.blocks[0].values for table in appendix_tables_of(runs)}
    assert list(tables[9].index) == ["FT → Chop (2-Layer)"]


def test_the_papers_tables_are_of_its_categories_in_its_order() -> None:
    """Table 8 has single interventions, 9 to 14 those of two categories, in both orders."""
    category = {name: facts.category for name, facts in house_interventions().items()}
    by_table: dict[int, set[tuple[str, ...]]] = {}
    for row in rows():
        by_table.setdefault(row.table, set()).add(tuple(category[name] for name, _ in row.steps))
    assert by_table.pop(ALONE) == {(), ("editing",), ("compression",), ("unlearning",)}
    assert by_table == {number: {categories} for number, categories in SEQUENCES.items()}
    assert {number: (each.rows, each.columns) for number, each in COMPOSED.items()} == {
        2: ("compression", "editing"),
        3: ("compression", "unlearning"),
        4: ("unlearning", "editing"),
    }
