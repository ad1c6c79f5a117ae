"""What a command does before and after the work that it calls, which is stood in for here."""

from types import SimpleNamespace
from typing import Any

import click
import pytest

from composability.command import main
from composability.commands.given import given_options
from composability.commands.run import _print_summary
from interventions.errors import InvalidInput
from tests.composability.test_command import command_of

Printed = pytest.CaptureFixture[str]


@pytest.mark.parametrize("words", [["run", "wnda"], ["grid"], ["tune"]], ids=" ".join)
def test_a_command_that_writes_runs_asks_for_the_store_before_all_else(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    def fail() -> None:
        raise InvalidInput("the store is away")

    def work(*arguments: object) -> None:
        raise AssertionError("the command went on")

    for place in ("sweeps.grid", "sweeps.study"):
        monkeypatch.setattr(f"{place}.command.run_command", work)
    monkeypatch.setattr("tracking.store.check_reachable", fail)
    assert main(words) == 2
    assert capsys.readouterr().err == "error: the store is away\n"


@pytest.mark.parametrize(
    ("register", "name"),
    [("mine", "mine"), ("lora + wanda: mine", "mine"), ("a: b:  c ", "c")],
)
def test_an_analysis_registers_the_better_orders_run_under_the_name_after_the_pair(
    register: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    calls: list[tuple[Any, ...]] = []

    def record(*arguments: object, tags: object) -> str:
        calls.append((*arguments, tags))
        return "version 1"

    champion = SimpleNamespace(run_id="r7", tags={"order": "lora first"})
    logged = SimpleNamespace(refusal="", champion=champion)
    monkeypatch.setattr("analysis.report.run.run_command", lambda options: logged)
    monkeypatch.setattr("tracking.registration.register", record)
    assert main(["analyze", "--register", register]) == 0
    assert calls == [("r7", name, None, "champion", {"order": "lora first"})]
    assert capsys.readouterr().out == "version 1\n"


@pytest.mark.parametrize(
    ("refusal", "status", "line"),
    [("", 0, ""), ("no test says which order is better", 2, "error: no test says which")],
)
def test_an_analysis_that_recommends_no_run_registers_none(
    refusal: str, status: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    logged = SimpleNamespace(refusal=refusal, champion=None)
    monkeypatch.setattr("analysis.report.run.run_command", lambda options: logged)
    assert main(["analyze", "--register", "mine"]) == status
    printed = capsys.readouterr()
    assert printed.err.startswith(line) and bool(printed.err) == bool(line) and not printed.out


ADDRESS = "http://ada:s3cret@host:5000"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["compare", "a + b", "--experiment", ADDRESS], "experiment has a password"),
        (["compare", "a + b", "--ui", ADDRESS], "ui has a password"),
        (["compare", "a\nb"], "pair must be one line"),
        (["compare", "1", " 2"], "run must be one line"),
        (["compare", "1", "2", "--experiment", " e"], "experiment must be one line"),
        (["findings", "--experiment", ADDRESS], "experiment has a password"),
        (["findings", "--model", ADDRESS], "model has a password"),
        (["findings", "--output", ADDRESS], "output has a password"),
        (["findings", "--experiment", "a\nb"], "experiment must be one line"),
    ],
)
def test_names_with_a_password_or_of_two_lines_are_refused(
    words: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    def work(*arguments: object, **options: object) -> None:
        raise AssertionError("the command went on")

    for place in ("comparison.compare_pair", "comparison.compare_runs"):
        monkeypatch.setattr(f"analysis.{place}", work)
    monkeypatch.setattr("composability.findings.run_command", work)
    assert main(words) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {line}") and "s3cret" not in printed


def test_the_given_options_are_those_that_differ_from_their_defaults() -> None:
    words = ["ft", "--seed", "3", "--limit", "0", "--trust-remote-code", "--device", "cuda:1"]
    context = command_of(["run"]).make_context("run", [*words, "--model", "a folder"])
    assert isinstance(context, click.Context)
    assert given_options(context, ["device"]) == (
        "--seed 3 --model 'a folder' --trust-remote-code true"
    )


def test_a_summary_that_cannot_be_read_is_a_warning_of_two_hundred_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    def broken(run_id: str) -> None:
        raise RuntimeError("x" * 900)

    monkeypatch.setattr("tracking.run_summary.run_summary", broken)
    _print_summary("r7", as_json=False, options="")
    reason = f"{'x' * 199}…"
    printed = capsys.readouterr()
    assert printed.err == f"warning: what run r7 found cannot be read back: {reason}\n"
    assert printed.out == ""


def test_a_presets_plan_is_printed_with_the_settings_and_the_memory_that_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    calls: list[tuple[str, int, float]] = []

    def plan_preset(preset: str, settings: dict[str, Any], device_gib: float) -> str:
        calls.append((preset, settings["seed"], device_gib))
        return "the plan"

    monkeypatch.setattr("composability.preset_plan.plan_preset", plan_preset)
    assert main(["plan", "--preset", "quick", "--seed", "3", "--device-gib", "2.5"]) == 0
    assert calls == [("quick", 3, 2.5)]
    assert capsys.readouterr().out == "the plan\n"
