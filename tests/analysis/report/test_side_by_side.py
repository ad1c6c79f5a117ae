from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference.intervals import intervals
from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.metrics.align import both_orders
from analysis.report.claims import with_claims
from analysis.report.side_by_side import side_by_side_block
from analysis.tables.table import Block
from tests.analysis.report.block_texts import linked_runs, rows_of
from tests.analysis.report.findings.sentences import replicated
from tests.analysis.synthetic import curve, frame
from tracking.catalogue import Catalogue


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


def point(**columns: Any) -> dict[str, Any]:
    return {
        "context": "a", "about": True, "intervention": "ft", "intervention_variant": "steps=5",
        "partner": "rmu", "partner_variant": "", "strength": "", "level": np.nan,
        "criterion": "mmlu", "forward": 0.5, "backward": 0.4, "replicates": 1, "gain": 0.1004,
        "gain_low": 0.0506, "gain_high": 0.1502, "forward_runs": ("1", "2"),
        "backward_runs": ("2", "3"), **columns,
    }  # fmt: skip


def test_rows_are_what_several_contexts_have_whatever_lacks_a_level() -> None:
    points = [
        point(criterion="wmdp", context="b", gain=-0.0001, gain_low=np.nan),
        point(),
        point(context="b", gain=np.nan, gain_high=np.nan, forward_runs=("4",)),
        point(partner="ga"),
        point(context="c", about=False),
        point(context="c", replicates=0),
        point(criterion="wmdp", strength="wanda.sparsity", level=0.5),
        point(criterion="wmdp"),
    ]
    block = side_by_side_block(pd.DataFrame(points), Labels(Catalogue()))
    assert block is not None and list(block.values) == ["b", "a"]
    interval = "0.100 (0.051 to 0.150)"
    assert rows_of(block) == {
        "FT (steps=5) → RMU, WMDP ↓": ["0.000", interval],
        "FT (steps=5) → RMU, MMLU ↑": ["–", interval],
    }
    both = ("1", "2", "3")
    assert linked_runs(block) == [[both, both], [("4", "2", "3"), both]]


def test_a_context_that_lacks_a_row_has_a_dash() -> None:
    points = [point(context=name) for name in "abc"] + [point(context="a", criterion="wmdp")]
    points.append(point(context="c", criterion="wmdp"))
    block = side_by_side_block(pd.DataFrame(points), Labels(Catalogue()))
    assert block is not None
    assert [cells[1] for cells in rows_of(block).values()][1] == "–"
    assert linked_runs(block)[1][1] is None


@pytest.mark.parametrize(
    "other",
    [
        {"intervention": "lora"}, {"partner": "ga"}, {"intervention_variant": "steps=6"},
        {"partner_variant": "alpha=2"}, {"strength": "wanda.sparsity"}, {"level": 0.5},
        {"criterion": "wmdp"},
    ],
    ids=lambda other: "".join(other),
)  # fmt: skip
def test_points_that_differ_in_more_than_their_context_are_not_side_by_side(
    other: dict[str, Any],
) -> None:
    points = pd.DataFrame([point(), point(context="b", **other)])
    assert side_by_side_block(points, Labels(Catalogue())) is None
