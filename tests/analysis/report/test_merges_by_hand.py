"""Merges of which a part is missing, and how the way of merging is read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.report import merges as written
from analysis.report.merges import _branches, _without, merged_points, requested_merges
from tests.analysis.report.test_merges import merges, only
from tests.analysis.synthetic import curve, frame
from tracking import query


def pair(*orders: str) -> list[dict[str, Any]]:
    runs = curve("ft", "wanda", [0.5], [0.875], [0.5], mmlu=0.25)
    return [entry for entry in runs if entry["composition"] in orders]


def test_an_order_that_was_not_run_has_no_runs_beside_the_merge() -> None:
    merged = merges(0.625)[:1]
    value = merged[0]["edit_success"]
    forward = only(merged_points(frame([*pair("ft | wanda"), *merged])))
    assert (forward.merged, forward.forward, forward.backward_runs) == (value, 0.875, ())
    assert len(forward.forward_runs) == 1 and forward.forward_gain == value - 0.875
    backward = only(merged_points(frame([*pair("wanda | ft"), *merged])))
    assert (backward.merged, backward.backward, backward.forward_runs) == (value, 0.5, ())
    assert len(backward.backward_runs) == 1 and backward.backward_gain == value - 0.5


def test_ways_of_merging_come_by_name() -> None:
    runs = pair("ft | wanda", "wanda | ft")
    for way in (", how='ties'", ", how='linear'"):
        runs += merges(0.625, rest=way)[:1]
    points = merged_points(frame(runs))
    assert points.way.tolist() == ["merge(how='linear')", "merge(how='ties')"]
    assert points[["forward", "backward"]].to_numpy().tolist() == [[0.875, 0.5]] * 2
    assert points.index.tolist() == [0, 1]


def test_merges_are_of_the_requested_criteria(monkeypatch: pytest.MonkeyPatch) -> None:
    points = pd.DataFrame({"criterion": ["edit_success", "mmlu", "mmlu"], "merged": [1, 2, 3]})
    compared: list[Any] = []

    def merged(runs: pd.DataFrame, items: pd.DataFrame | None) -> pd.DataFrame:
        compared.append(items)
        return points

    def of_merges(runs: pd.DataFrame, criteria: list[str], missing: str) -> pd.DataFrame:
        return pd.DataFrame({"read": [len(runs), *criteria, missing]})

    monkeypatch.setattr(written, "merged_points", merged)
    monkeypatch.setattr(query, "items", of_merges)
    prepared: Any = SimpleNamespace(runs=frame(merges(0.7)[:1]), criteria=["mmlu"])
    rows = requested_merges(prepared, None)
    assert rows is not None
    assert rows.to_dict("index") == {
        0: {"criterion": "mmlu", "merged": 2},
        1: {"criterion": "mmlu", "merged": 3},
    }
    requested_merges(prepared, pd.DataFrame({"read": ["orders"]}))
    assert compared[0] is None and compared[1].read.tolist() == ["orders", 1, "mmlu", "skip"]
    prepared.criteria = ["wmdp"]
    assert requested_merges(prepared, None) is None
    points = points.iloc[:0]
    assert requested_merges(prepared, None) is None


@pytest.mark.parametrize(
    ("value", "branches"),
    [
        (["ft", "rmu"], ["ft", "rmu"]),
        (("ft", "rmu"), ["ft", "rmu"]),
        ("['ft', 'rmu']", ["ft", "rmu"]),
        (["ft", 1], []),
        ("'ft'", []),
        ("ft | rmu", []),
        (None, []),
    ],
)
def test_branches_are_a_list_of_texts_or_the_text_of_one(value: Any, branches: list[str]) -> None:
    assert _branches(value) == branches


def test_a_way_of_merging_is_said_without_the_branches_at_its_head() -> None:
    text = "merge(ft, rmu, note='ft, rmu(, ')"
    assert _without(text, ["ft", "rmu"]) == "merge(note='ft, rmu(, ')"
    assert _without("merge(ft, rmu)", ["ft", "rmu"]) == "merge"
