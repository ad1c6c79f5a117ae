"""Merges beside both orders of a pair: the third answer, by the statistics of the pair."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.inference.intervals import intervals
from analysis.metrics.groups import WITHOUT_WINS
from analysis.metrics.points import point
from analysis.report.claims import with_claims
from analysis.report.files import write_files
from analysis.report.merges import merged_points, merges_of_pairs
from analysis.report.prepare import check_against_runs
from analysis.report.request import AnalysisRequest
from tests.analysis.report.findings.sentences import BATCHES, replicated
from tests.analysis.synthetic import frame, run
from tracking.catalogue import Catalogue

PAIR = replicated("ft", "wanda", {0.5: 0.9}, {0.5: 0.5})


def merges(
    value: float,
    branches: tuple[str, ...] = ("ft", "wanda(sparsity=0.5)"),
    rest: str = "",
    level: float = 0.5,
    **columns: Any,
) -> list[dict[str, Any]]:
    """Merges over the batches of the pair, as a run records them."""
    runs = []
    for batch, shift in enumerate(BATCHES):
        merged = run(
            "merge",
            edit_batch=batch,
            **{
                "edit_success": value + shift / 7,
                "merge.branches": list(branches),
                "merge.how": "linear",
                "merge.version": 1,
                "wanda.sparsity": level,
                **columns,
            },
        )
        runs.append({**merged, "composition": f"merge({', '.join(branches)}{rest})"})
    return runs


def only(frame: pd.DataFrame) -> Any:
    assert len(frame) == 1
    return frame.iloc[0]


def test_a_merge_is_better_than_an_order_by_the_interval_over_the_batches() -> None:
    row = only(merged_points(frame([*PAIR, *merges(0.7)])))
    assert (row.pair, row.way, row.intervention, row.partner) == (
        "ft + wanda",
        "merge",
        "ft",
        "wanda",
    )
    assert (row.level, row.merged) == (0.5, pytest.approx(0.7, abs=1e-3))
    shifts = np.array(BATCHES)
    for order, value, shift in (("forward", 0.9, shifts), ("backward", 0.5, -shifts / 3)):
        differences = 0.7 + shifts / 7 - (value + shift)
        error = differences.std(ddof=1) / np.sqrt(5)
        half = stats.t.ppf(0.975, 4) * error
        expected = (differences.mean(), differences.mean() - half, differences.mean() + half)
        actual = [row[f"{order}_{name}"] for name in ("gain", "gain_low", "gain_high")]
        np.testing.assert_allclose(actual, expected, atol=1e-9)
        assert row[order] == pytest.approx((value + shift).mean())
        assert row[f"{order}_differs"] and row[f"{order}_p_holm"] < 0.05
        assert len(row[f"{order}_runs"]) == 5 and row[f"{order}_basis"] == "edit batches"


def test_lower_is_better_turns_the_gain_round() -> None:
    pair = replicated("ft", "wanda", {0.5: 4.0}, {0.5: 6.0}, criterion="wikitext_ppl")
    row = only(merged_points(frame([*pair, *merges(np.nan, wikitext_ppl=5.0)])))
    assert row.criterion == "wikitext_ppl"
    assert row.forward_gain == pytest.approx(-1, abs=0.02)
    assert row.backward_gain == pytest.approx(1, abs=0.02)
    assert row.forward_gain_low < row.forward_gain < row.forward_gain_high < 0


def test_claims_are_corrected_over_both_orders_and_every_way_of_merging() -> None:
    noisy = np.array([0.011, -0.02, 0.004, -0.013, 0.018]) * 3
    pair = replicated("ft", "wanda", {0.5: 0.7}, {0.5: 0.72}, shifts=list(noisy))
    ties: dict[str, Any] = {"merge.how": "ties"}
    both = [*merges(0.71), *merges(0.712, rest=", how='ties'", **ties)]
    rows = merged_points(frame([*pair, *both]))
    assert list(rows.way) == ["merge", "merge(how='ties')"]
    alone = merged_points(frame([*pair, *merges(0.71)]))
    first = rows[rows.way == "merge"].iloc[0]
    # of four p values, not of two
    assert first.forward_p_holm > only(alone).forward_p_holm


def test_only_runs_of_equal_settings_are_compared() -> None:
    assert merged_points(frame([*PAIR, *merges(0.7, model="another")])).empty
    assert merged_points(frame([*PAIR, *merges(0.7, level=0.25)])).empty
    rate: dict[str, Any] = {"ft.lr": 0.1}
    assert merged_points(frame([*PAIR, *merges(0.7, **rate)])).empty
    assert not merged_points(frame([*PAIR, *merges(0.7)])).empty


def test_a_batch_that_only_the_order_has_does_not_count() -> None:
    row = only(merged_points(frame([*PAIR, *merges(0.7)[:3]])))
    assert row.forward == pytest.approx(0.9 + np.mean(BATCHES[:3]))
    assert row.forward_units == 3


def test_what_is_no_merge_of_two_single_steps_is_left_alone() -> None:
    for branches in (
        ("ft | rmu", "wanda(sparsity=0.5)"),
        ("ft", "ft(steps=3)"),
        ("ft", "wanda(sparsity=0.5)", "rmu"),
    ):
        assert merges_of_pairs(frame(merges(0.7, branches))).empty
    unreadable = [{**row, "merge.branches": "[1, 'ft'"} for row in merges(0.7)]
    assert merges_of_pairs(frame(unreadable)).empty
    as_text = [{**row, "merge.branches": "['ft', 'wanda(sparsity=0.5)']"} for row in merges(0.7)]
    assert len(merges_of_pairs(frame(as_text))) == 5
    prefixed = [
        {**row, "pair": "ga + merge", "step1": "ga", "step2": "merge"} for row in merges(0.7)
    ]
    assert merges_of_pairs(frame(prefixed)).empty
    base_models = frame([run("none", edit_success=0.1)])
    assert merges_of_pairs(base_models.drop(columns="step1", errors="ignore")).empty
    failed = [{**row, "status": "FAILED"} for row in merges(0.7)]
    assert merges_of_pairs(frame(failed)).empty


def test_weights_are_said_with_the_branches_that_they_are_of() -> None:
    weights: dict[str, Any] = {"merge.weights": [1.0, 0.5]}
    weighted = merges(0.7, rest=", weights=(1.0, 0.5)", **weights)
    row = only(merged_points(frame([*PAIR, *weighted])))
    assert row.way == "merge(ft, wanda(sparsity=0.5), weights=(1.0, 0.5))"


def test_the_orders_own_measures_are_those_without_merges() -> None:
    without, together = frame(PAIR), frame([*PAIR, *merges(0.7), *merges(0.1, level=0.25)])
    expected, points = (
        with_claims(intervals(runs, point(runs)), Catalogue(), 0.95).drop(columns="point")
        for runs in (without, together)
    )
    pd.testing.assert_frame_equal(points, expected)
    assert merged_points(without).empty and merged_points(without.iloc[:0]).empty


TITLE = "Merged, beside one after the other"


def page(folder: Path, runs: list[dict[str, Any]], criteria: tuple[str, ...] = ()) -> str:
    request = AnalysisRequest(("made up",), criteria=criteria, items="none")
    write_files(check_against_runs(request, frame(runs)), folder)
    return (folder / "report.html").read_text()


def test_the_reports_file_and_page_have_the_three_answers(tmp_path: Path) -> None:
    runs = [*PAIR, *merges(0.7)]
    text = page(tmp_path / "with", runs)
    table, expected = pd.read_csv(tmp_path / "with/merges.csv"), merged_points(frame(runs))
    assert table.forward_gain.tolist() == pytest.approx(expected.forward_gain.tolist())
    part = text[text.index(TITLE) :].partition("</section>")[0]
    assert "2 comparisons" in part and part.count("merge of FT + Wanda at ") == 2
    first, second = (
        part[part.index(order) :].partition("</tr>")[0] for order in ("FT → Wanda", "Wanda → FT")
    )
    assert "order better" in first and "merge better" in second
    # after the order, merged, and the difference, to three digits
    assert re.findall(r">([-−]?\d\.\d+)<", first) == ["0.900", "0.700", "-0.200"]
    without = page(tmp_path / "without", PAIR)
    assert TITLE not in without and not (tmp_path / "without/merges.csv").exists()
    # nothing that the page says of orders is another
    orders = [pd.read_csv(tmp_path / name / "composability.csv") for name in ("with", "without")]
    measures = ["order_free_error", "order_sensitivity", "gain", "gain_low", "p_holm"]
    pd.testing.assert_frame_equal(orders[0][measures], orders[1][measures])
    wins = [(tmp_path / name / "wins.csv").read_text() for name in ("with", "without")]
    assert wins[0] == wins[1]


def test_the_category_enters_no_wins() -> None:
    assert "merging" in WITHOUT_WINS
    assert Catalogue().interventions["merge"].category == "merging"
