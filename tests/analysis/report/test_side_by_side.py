from typing import Any

from analysis.inference.intervals import intervals
from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.metrics.align import both_orders
from analysis.report.claims import with_claims
from analysis.report.side_by_side import side_by_side_block
from analysis.tables.table import Block
from tests.analysis.report.findings.sentences import replicated
from tests.analysis.synthetic import curve, frame


def block_of(runs: list[dict[str, Any]]) -> Block | None:
    table = frame(runs)
    catalogue = both_orders(table).catalogue
    points = with_claims(intervals(table, co.point(table)), catalogue, 0.95)
    return side_by_side_block(points, Labels(catalogue))


def test_the_gains_of_two_models_stand_side_by_side() -> None:
    runs = replicated("ft", "wanda", {0.5: 0.9}, {0.5: 0.5}, model="a")
    runs += curve("ft", "wanda", [0.5], [0.5], [0.6], model="b")
    runs += curve("lora", "wanda", [0.5], [0.5], [0.6], model="b")
    block = block_of(runs)
    assert block is not None
    (row,) = block.values.to_dict("records")
    assert list(block.values.index) == ["FT → Wanda at sparsity 0.5, Edit success ↑"]
    assert row["model=b, data=d"] == "-0.100"
    assert row["model=a, data=d"].startswith("0.400 (0.3")
    linked = block.runs["model=b, data=d"].iloc[0]
    assert set(linked) == {entry["run_id"] for entry in runs[10:12]}


def test_one_context_has_nothing_beside_it() -> None:
    assert block_of(curve("ft", "wanda", [0.5], [0.5], [0.6])) is None


def test_validation_and_test_runs_are_never_averaged() -> None:
    runs = curve("ft", "wanda", [0.5], [0.9], [0.6], split="test")
    runs += curve("ft", "wanda", [0.5], [0.1], [0.2], split="validation")
    points = co.point(frame(runs))
    assert sorted(points.forward) == [0.1, 0.9]
    assert points.context.nunique() == 2
    block = block_of(runs)
    assert block is not None and block.values.shape == (1, 2)
