"""Both orders side by side: values, differences and intervals as the statistics have them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from analysis.comparison import Comparison, compare_pair, compare_runs
from analysis.inference.intervals import intervals
from analysis.metrics.composability import point
from analysis.report.merges import merged_points
from composability.comparison_text import comparison_text
from interventions.errors import InvalidInput
from tests.analysis.report.findings.sentences import replicated
from tests.analysis.report.test_merges import merges, only
from tests.analysis.synthetic import curve, frame
from tests.tracking.logged_runs import log_run
from tests.tracking.test_saved_views import saved_state
from tracking import store

Rows = Sequence[dict[str, Any]]
UI = "http://host:1"
DIFFERS = replicated("ft", "wanda", {0.5: 0.9}, {0.5: 0.5})


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rows, str], Comparison]:
    """Compare the orders of a pair over made-up runs."""

    def of_rows(rows: Rows, pair: str) -> Comparison:
        runs = frame(rows) if rows else pd.DataFrame()
        monkeypatch.setattr("tracking.query.compositions", lambda *_: runs)
        monkeypatch.setattr("tracking.query.items", lambda *_, **__: None)
        return compare_pair(pair, "made up", UI)

    return of_rows


def test_a_difference_has_the_interval_and_the_test_of_the_statistics(
    compare: Callable[[Rows, str], Comparison],
) -> None:
    (level,) = compare(DIFFERS, "wanda + ft").levels
    (criterion,) = level.criteria
    runs = frame(DIFFERS)
    (expected,) = intervals(runs, point(runs)).to_dict("records")
    assert (level.forward, level.backward) == ("ft → wanda", "wanda → ft")
    assert level.replicates == 5
    assert criterion.forward == pytest.approx(expected["forward"])
    assert criterion.gain == pytest.approx(expected["gain"])
    assert (criterion.low, criterion.high) == (expected["gain_low"], expected["gain_high"])
    assert criterion.differs and criterion.p_holm < 0.05
    assert level.title == "sparsity 0.5"


def test_the_first_order_is_better_by_what_the_second_is_worse_by(
    compare: Callable[[Rows, str], Comparison],
) -> None:
    """Perplexity is better lower."""
    rows = curve("ft", "wanda", [0.5], [4.0], [6.0], criterion="wikitext_ppl")
    (level,) = compare(rows, "ft + wanda").levels
    (criterion,) = level.criteria
    assert (criterion.better, criterion.gain) == ("lower", 2.0)
    assert math.isnan(criterion.p_holm) and not criterion.differs


def test_every_level_and_setting_is_apart(compare: Callable[[Rows, str], Comparison]) -> None:
    rows = [
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.7, 0.6]),
        *curve("ft", "wanda", [0.5], [0.4], [0.3], model="other"),
    ]
    compared = compare(rows, "ft + wanda")
    titles = [level.title for level in compared.levels]
    assert len(set(titles)) == 3
    assert sum("other" in title for title in titles) == 1
    assert len(compared.advice) == 2


def test_links_lead_to_the_charts_of_the_pair_and_to_a_run_of_each_order(
    compare: Callable[[Rows, str], Comparison],
) -> None:
    compared = compare(DIFFERS, "ft + wanda")
    assert list(compared.links) == ["both orders in charts", "ft → wanda", "wanda → ft"]
    charts, forward, backward = compared.links.values()
    assert charts == (
        "http://host:1/#/experiments/1/runs?workflowType=machine_learning&compareRunsMode=CHART"
        "&searchFilter=params.pair%20%3D%20%27ft%20%2B%20wanda%27"
    )
    (level,) = compared.levels
    (view,) = compared.views.values()
    assert saved_state(view.text())["searchFilter"] == (
        f"attributes.run_id IN ({', '.join(sorted(repr(row['run_id']) for row in DIFFERS))})"
    )
    for link, run_ids in ((forward, level.forward_runs), (backward, level.backward_runs)):
        assert link == (
            f"http://host:1/#/experiments/1/runs/{run_ids[0]}?workflowType=machine_learning"
        )
    orders = {row["run_id"]: row["composition"] for row in DIFFERS}
    assert {orders[run_id] for run_id in level.forward_runs} == {"ft | wanda"}


def test_a_pair_that_did_not_run_in_both_orders_is_refused(
    compare: Callable[[Rows, str], Comparison],
) -> None:
    with pytest.raises(InvalidInput, match=r"is of the pair 'ft \+ rtn'; there are: ft \+ wanda"):
        compare(DIFFERS, "rtn + ft")
    alone = [row for row in DIFFERS if row["composition"] == "ft | wanda"]
    with pytest.raises(InvalidInput, match="no pair was run in both orders"):
        compare(alone, "ft + wanda")
    with pytest.raises(InvalidInput, match="there are: none"):
        compare([], "ft + wanda")


def test_numbers_that_are_not_finite_are_text_in_json(
    compare: Callable[[Rows, str], Comparison],
) -> None:
    rows = curve("ft", "wanda", [0.5], [4.0], [math.inf], criterion="wikitext_ppl")
    (level,) = compare(rows, "ft + wanda").as_json()["levels"]
    assert level["criteria"]["wikitext_ppl"]["backward"] == "inf"
    assert level["criteria"]["wikitext_ppl"]["low"] == "nan"


@pytest.fixture
def run_ids(local_store: str) -> list[str]:
    """Eight runs of ft and wanda: two levels, both orders, two batches."""
    experiment_id = store.ensure_experiment()
    return [log_run(local_store, experiment_id, number) for number in range(8)]


def test_two_runs_are_compared_by_their_ids(run_ids: list[str]) -> None:
    """Runs 0 and 2 are the two orders at one level, of one batch."""
    (level,) = compare_runs(run_ids[2], run_ids[0], UI).levels
    (success, *_) = level.criteria
    assert (level.forward_runs, level.backward_runs) == ((run_ids[0],), (run_ids[2],))
    assert (success.name, success.forward, success.backward) == ("edit_success", 0.0, 0.2)
    assert success.gain == pytest.approx(-0.2)
    assert not success.differs


def test_runs_that_are_not_two_orders_of_the_same_steps_are_refused(run_ids: list[str]) -> None:
    with pytest.raises(InvalidInput, match=r"both runs are of 'ft \| wanda': the same order"):
        compare_runs(run_ids[0], run_ids[4], UI)
    with pytest.raises(InvalidInput, match=r"of their steps: edit_batch \(0 and 1\)"):
        compare_runs(run_ids[0], run_ids[6], UI)
    client = MlflowClient()
    alone = client.create_run(store.ensure_experiment()).info.run_id
    client.log_param(alone, "composition", "ft | rmu")
    client.log_param(alone, "pair", "ft + rmu")
    client.set_terminated(alone)
    with pytest.raises(InvalidInput, match=r"'ft \| wanda' and 'ft \| rmu' are not two orders of"):
        compare_runs(run_ids[0], alone, UI)
    with pytest.raises(InvalidInput, match="no run has the id 'nobody'"):
        compare_runs(run_ids[0], "nobody", UI)
    empty = client.create_run(store.ensure_experiment()).info.run_id
    with pytest.raises(InvalidInput, match="is no composition"):
        compare_runs(run_ids[0], empty, UI)
    client.set_terminated(run_ids[2], "KILLED")
    with pytest.raises(InvalidInput, match="is KILLED; runs that FINISHED are compared"):
        compare_runs(run_ids[0], run_ids[2], UI)


def test_a_pair_is_compared_over_all_its_finished_runs(run_ids: list[str]) -> None:
    MlflowClient().set_terminated(run_ids[7], "FAILED")
    levels = compare_pair("wanda + ft", store.EXPERIMENT, UI).levels
    replicates = {level.title: level.replicates for level in levels}
    assert replicates == {"sparsity 0.25": 2, "sparsity 0.5": 1}


def test_columns_are_as_the_store_has_them(run_ids: list[str]) -> None:
    levels = compare_pair("ft + wanda", store.EXPERIMENT, UI).levels
    success = {level.title: level.criteria[0] for level in levels}["sparsity 0.25"]
    client = MlflowClient()
    values = [client.get_run(run_ids[n]).data.metrics["edit_success"] for n in (0, 4, 2, 6)]
    assert success.forward == pytest.approx(pd.Series(values[:2]).mean())
    assert success.backward == pytest.approx(pd.Series(values[2:]).mean())


def test_runs_that_the_page_would_hide_under_their_parent_are_grouped(
    compare: Callable[[Rows, str], Comparison],
) -> None:
    rows = curve("ft", "wanda", [0.5], [0.9], [0.5])
    (view,) = compare(rows, "ft + wanda").views.values()
    assert "groupBy" not in saved_state(view.text())
    (view,) = compare([{**row, "sweep": "grid"} for row in rows], "ft + wanda").views.values()
    assert "groupBy" in saved_state(view.text())


def test_each_level_has_a_view_of_its_own_runs(
    compare: Callable[[Rows, str], Comparison],
) -> None:
    rows = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.5, 0.4])
    compared = compare(rows, "ft + wanda")
    assert list(compared.views) == [
        "both orders in charts, sparsity 0.25",
        "both orders in charts, sparsity 0.5",
    ]
    for level, view in zip(compared.levels, compared.views.values(), strict=True):
        filter = saved_state(view.text())["searchFilter"]
        assert all(run_id in filter for run_id in (*level.forward_runs, *level.backward_runs))
        assert filter.count(", ") == 1


def test_merges_stand_beside_both_orders(compare: Callable[[Rows, str], Comparison]) -> None:
    compared = compare([*DIFFERS, *merges(0.7)], "ft + wanda")
    (merge,) = compared.merges
    (row,) = merge.criteria
    expected = only(merged_points(frame([*DIFFERS, *merges(0.7)])))
    assert (merge.way, merge.title, row.merged) == ("merge", "sparsity 0.5", expected.merged)
    assert row.forward is not None and row.backward is not None
    assert (row.forward.gain, row.forward.low) == (expected.forward_gain, expected.forward_gain_low)
    assert row.backward.gain == expected.backward_gain > 0 > row.forward.gain
    assert row.forward.differs and row.backward.differs
    text = comparison_text(compared, width=120)
    assert "sparsity 0.5: merged\n" in text and "better than wanda → ft by" in text
    assert "a merge * says that it differs from that order" in " ".join(text.split())
    said = compared.as_json()["merges"][0]["criteria"]["edit_success"]
    assert said["wanda → ft"]["gain"] == expected.backward_gain
    # the orders' own table is as it is without
    assert compared.levels[0].criteria == compare(DIFFERS, "ft + wanda").levels[0].criteria


def test_merges_of_other_settings_are_said_not_to_be_compared(
    compare: Callable[[Rows, str], Comparison],
) -> None:
    compared = compare([*DIFFERS, *merges(0.7, model="another")], "ft + wanda")
    assert compared.merges == ()
    assert "5 merges of this pair ran with other settings" in compared.advice[-1]
    assert "other settings" not in " ".join(compare(DIFFERS, "ft + wanda").advice)


def test_a_merge_that_an_order_has_no_run_of_is_not_run(
    compare: Callable[[Rows, str], Comparison],
) -> None:
    """The second order ran at another learning rate: only the first is compared."""
    orders = [
        {**row, "ft.lr": 0.1 if row["step1"] == "ft" else 0.2}
        for row in replicated("ft", "wanda", {0.5: 0.9}, {0.5: 0.5})
    ]
    rate: dict[str, Any] = {"ft.lr": 0.1}
    paired = replicated("ft", "wanda", {0.25: 0.9}, {0.25: 0.5}, **rate)
    compared = compare([*orders, *paired, *merges(0.7, **rate)], "ft + wanda")
    (merge,) = compared.merges
    assert merge.criteria[0].forward is not None and merge.criteria[0].backward is None
    assert "not run" in comparison_text(compared, width=120)
