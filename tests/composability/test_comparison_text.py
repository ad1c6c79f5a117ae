"""What `composability compare` prints: words and marks follow the tests."""

import json
import math
from typing import Any

import pytest
from mlflow import MlflowClient

from analysis.comparison import ComparedCriterion, ComparedLevel, Comparison
from composability.command import main
from composability.comparison_text import comparison_text
from tests.tracking.logged_runs import log_run
from tests.tracking.test_saved_views import saved_state
from tracking import store

NAN = math.nan


def criterion(name: str = "edit_success", **values: Any) -> ComparedCriterion:
    known: dict[str, Any] = {
        "better": "higher", "forward": 0.9, "backward": 0.5, "gain": 0.4, "low": NAN, "high": NAN,
        "basis": "", "p_holm": NAN, "differs": False,
    }  # fmt: skip
    return ComparedCriterion(name, **{**known, **values})


def text(*criteria: ComparedCriterion, hint: str = "") -> str:
    level = ComparedLevel(
        "sparsity 0.5", "ft → wanda", "wanda → ft", ("a",), ("b",), 1, tuple(criteria)
    )
    compared = Comparison("ft + wanda", (level,), ("What tests say.",), {"charts": "http://host:1"})
    return comparison_text(compared, hint, width=100)


def test_a_row_has_both_values_the_difference_and_its_interval() -> None:
    row = criterion(low=0.1, high=0.7, basis="edit batches", p_holm=0.01, differs=True)
    lines = text(row).splitlines()
    assert lines[0] == "sparsity 0.5: 1 run of each order"
    assert lines[1].split("  ")[-1].strip() == "95 % interval"
    assert " ".join(lines[2].split()) == (
        "edit_success 0.900 0.500 +0.400 +0.100 to +0.700 over edit batches *"
    )


def test_a_mark_stands_only_where_a_test_says_that_the_orders_differ() -> None:
    tested: dict[str, Any] = {"low": 0.1, "high": 0.7, "basis": "edit batches"}
    marked = text(criterion(**tested, p_holm=0.01, differs=True))
    assert "* a test says that the orders differ" in marked
    unmarked = " ".join(text(criterion(**tested, p_holm=0.2)).split())
    assert "No test says that the orders differ." in unmarked
    assert "An interval without 0 that is not marked is no claim" in unmarked
    assert "*" not in unmarked
    untested = " ".join(text(criterion()).split())
    assert "Nothing could be tested: that takes three batches of edits" in untested
    assert "An interval without 0" not in untested and "*" not in untested


def test_what_is_not_known_is_a_dash_and_a_large_number_is_short() -> None:
    lines = text(
        criterion("sparsity", better="neither", gain=NAN),
        criterion("wikitext_ppl", forward=math.inf, backward=2e6, gain=-math.inf),
    ).splitlines()
    assert lines[2].split() == ["sparsity", "0.900", "0.500", "-", "-"]
    assert lines[3].split() == ["wikitext_ppl", "inf", "2.0e+06", "-inf", "-"]


def test_the_ui_is_started_by_what_the_hint_says() -> None:
    assert text(criterion(), hint="start it").endswith("charts: http://host:1\n(start it)")
    assert text(criterion()).endswith("charts: http://host:1")


@pytest.fixture
def run_ids(local_store: str) -> list[str]:
    return [log_run(local_store, store.ensure_experiment(), number) for number in range(4)]


def test_the_command_prints_json_or_a_table(
    run_ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "ft + wanda", "--json"]) == 0
    levels = json.loads(capsys.readouterr().out)["levels"]
    assert [level["title"] for level in levels] == ["sparsity 0.25", "sparsity 0.5"]
    assert levels[0]["forward"] == {"order": "ft → wanda", "run_ids": [run_ids[0]]}
    assert main(["compare", run_ids[1], run_ids[3], "--ui", "http://host:1/"]) == 0
    printed = capsys.readouterr().out
    link = next(line for line in printed.splitlines() if line.startswith("both orders in charts"))
    key = link.rpartition("compareRunsMode=CHART&viewStateShareKey=")[2]
    experiment = MlflowClient(store.uri()).get_experiment(store.ensure_experiment())
    view = saved_state(experiment.tags[f"mlflow.sharedViewState.{key}"])
    assert all(run_id in view["searchFilter"] for run_id in (run_ids[1], run_ids[3]))
    assert "start the UI" not in printed
    assert main(["compare", run_ids[1], run_ids[3]]) == 0
    assert "(start the UI with `composability setup --ui 5000 --serve`)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["ft + rtn"], "no finished run of 'composability' is of the pair 'ft + rtn'"),
        (["a", "b"], "no run has the id 'a'"),
        (["a", "b", "c"], "name one pair, in quotes"),
        (["ft + wanda", "--ui", "javascript:x"], "ui must be an address"),
        (["ft + wanda", "--experiment", "nobody"], "no experiment is named 'nobody'"),
        ([], "Missing argument 'PAIR | RUN RUN'"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    words: list[str], line: str, run_ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *words]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1
