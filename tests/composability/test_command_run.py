"""What `composability run` and `plan` print, and the status that they end with."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from composability.command import main
from composability.commands import compare
from interventions.errors import InvalidInput
from tests.composability.conftest import Calls

Printed = pytest.CaptureFixture[str]

SUMMARY = SimpleNamespace(as_json=lambda: {"run": "r7"})


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, stand_in: Callable[..., None]) -> None:
    """Put a run r7 of experiment 4 into a store that is not there."""
    run = SimpleNamespace(info=SimpleNamespace(experiment_id="4"))
    stand_in("tracking.run.run", "r7")
    stand_in("tracking.failures.of_run", [])
    monkeypatch.setattr("tracking.run_summary.run_summary", lambda run_id: SUMMARY)
    monkeypatch.setattr("composability.run_table.run_text", lambda run, options: f"text {options}")
    monkeypatch.setattr("tracking.store.client", lambda: SimpleNamespace(get_run=lambda id: run))
    monkeypatch.setattr("tracking.store.shown_address", lambda: "sqlite:///a.db")
    monkeypatch.setattr("tracking.links.ui_address", lambda: "http://ui")
    monkeypatch.setattr("tracking.links.start_hint", lambda ui: "")


@pytest.mark.parametrize("hint", ["", "start it"])
def test_a_run_is_printed_with_its_place(
    hint: str, place: None, calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setattr("tracking.links.start_hint", lambda ui: hint)
    assert main(["run", "ft | ga", "--seed", "3", "--experiment", "house"]) == 0
    (store_call, (name, steps, options), failures_call) = calls
    assert (store_call, failures_call) == (("check_reachable",), ("of_run", "r7"))
    assert (name, str(steps)) == ("run", "ft | ga")
    assert (options["experiment"], options["seed"]) == ("house", 3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "text --seed 3 --experiment house"
    assert lines[1] == f"run r7 in sqlite:///a.db{' (start it)' if hint else ''}"
    assert lines[2].startswith("http://ui/") and "r7" in lines[2] and len(lines) == 3


def test_of_a_run_nothing_but_json_is_printed(place: None, capsys: Printed) -> None:
    assert main(["run", "ft", "--json"]) == 0
    assert capsys.readouterr().out == '{\n  "run": "r7"\n}\n'


def test_a_run_of_which_criteria_failed_says_which_and_ends_with_one(
    place: None, stand_in: Callable[..., None], capsys: Printed
) -> None:
    stand_in("tracking.failures.of_run", ["mmlu failed", "wmdp failed"])
    assert main(["run", "ft", "--json"]) == 1
    assert capsys.readouterr().err == "error: mmlu failed\nerror: wmdp failed\n"


def test_a_run_that_is_refused_ends_with_two(
    place: None, stand_in: Callable[..., None], capsys: Printed
) -> None:
    stand_in("tracking.run.run", InvalidInput("no room"))
    assert main(["run", "ft"]) == 2
    assert capsys.readouterr().err == "error: no room\n"


def test_a_dry_run_prints_the_plan_and_rejects_the_run_that_mlflow_made(
    calls: Calls, stand_in: Callable[..., None], capsys: Printed
) -> None:
    stand_in("tracking.costs.planning.plan", "the plan")
    stand_in("tracking.lifecycle.reject_launched_run")
    assert main(["run", "--first", "ft", "--then", "ga", "--dry-run"]) == 0
    (plan_call, rejected) = calls
    assert (plan_call[0], str(plan_call[1])) == ("plan", "ft | ga")
    assert rejected == ("reject_launched_run", "ft | ga", "dry run")
    assert capsys.readouterr().out == "the plan\n"


def test_a_plan_is_that_of_a_composition_or_of_a_preset(
    calls: Calls, stand_in: Callable[..., None], capsys: Printed
) -> None:
    stand_in("tracking.costs.planning.plan", "the plan")
    stand_in("composability.preset_plan.plan_preset", "of all")
    assert main(["plan", "ft"]) == 0
    assert main(["plan", "--preset", "quick"]) == 0
    assert [call[0] for call in calls] == ["plan", "plan_preset"]
    assert capsys.readouterr().out == "the plan\nof all\n"
    assert main(["plan", "ft", "--preset", "quick"]) == 2
    assert capsys.readouterr().err == (
        "error: give a COMPOSITION or --preset, not both (see composability plan --help)\n"
    )


@pytest.mark.parametrize(
    ("saved", "links"),
    [
        ((), {"charts": "a filter", "table": "a table"}),
        (("lora",), {"lora": "ui 4 v1", "table": "a table"}),
    ],
)
def test_saved_views_take_the_place_of_the_filter(
    saved: tuple[str, ...], links: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced: list[Any] = []
    views = {name: SimpleNamespace(key=f"v{n}") for n, name in enumerate(("lora", "wanda"), 1)}
    comparison: Any = SimpleNamespace(
        experiment_id="4", views=views, links={"charts": "a filter", "table": "a table"}
    )
    monkeypatch.setattr("tracking.store.client", lambda: "client")
    monkeypatch.setattr("analysis.pair_links.CHARTS", "charts")
    monkeypatch.setattr(
        "tracking.links.charts_link", lambda ui, experiment_id, view: f"{ui} {experiment_id} {view}"
    )
    monkeypatch.setattr(
        "tracking.saved_views.save_view",
        lambda client, experiment_id, view: view in [views[name] for name in saved],
    )
    monkeypatch.setattr(compare, "replace", lambda whole, links: replaced.append(links))
    compare.with_saved_views(comparison, "ui")
    assert replaced == [links]
