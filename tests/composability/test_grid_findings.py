"""A grid's preset that tests a finding: what it takes, what it refuses, and its verdict."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from composability import findings, grid_findings
from composability.command import main
from composability.findings import FindingsRequest
from composability.grid_findings import findings_request
from interventions.errors import InvalidInput
from sweeps.grid.spec import GridRequest


def options(**changes: Any) -> dict[str, Any]:
    return {**asdict(GridRequest(preset="relearning", device="cpu")), **changes}


def test_a_preset_is_tested_over_ten_batches_under_its_policies() -> None:
    request = findings_request(options())
    assert [preset.name for preset in request.presets] == ["relearning"]
    assert (request.replicates, request.policies, request.hours) == (10, (), 3.0)
    assert request.settings.checkpoints == "none" and request.settings.device == "cpu"


def test_batches_model_and_where_it_runs_are_the_users() -> None:
    request = findings_request(options(edit_batches="4", model="ours", limit=20, experiment="mine"))
    assert (request.replicates, request.settings.model, request.settings.limit) == (4, "ours", 20)
    assert request.experiment == "mine"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("interventions", "ft; wanda"), ("length", "1..3"), ("pairs", "all"), ("seeds", "3"),
        ("name", "mine"), ("criteria", "mmlu"), ("recompress", "never"), ("checkpoints", "all"),
    ],
)  # fmt: skip
def test_what_the_preset_says_itself_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=f"preset relearning has its own {name}") as error:
        findings_request(options(**{name: value}))
    assert len(str(error.value)) <= 390


@pytest.mark.parametrize("value", ["0,4", "x", "", "-3", "1.5", "99999", "٣"])
def test_which_batches_cannot_be_chosen(value: str) -> None:
    with pytest.raises(InvalidInput, match="edit_batches must be how many"):
        findings_request(options(edit_batches=value))


def test_a_number_of_batches_has_at_most_four_digits_and_may_stand_between_blanks() -> None:
    assert findings_request(options(edit_batches=" 9999 ")).replicates == 9999


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("model", "https://ada:secret@host/m", "model has a password, which would be recorded"),
        ("experiment", " mine", "experiment must be one line"),
    ],
)
def test_what_would_be_recorded_has_no_password_and_an_experiment_a_name(
    name: str, text: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        findings_request(options(**{name: text}))


@pytest.mark.parametrize(("word", "runs"), [("true", False), ("false", True)])
def test_a_dry_run_judges_what_there_is_and_runs_nothing(
    word: str, runs: bool, local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[bool, str]] = []

    def run_command(request: FindingsRequest, run: bool, output: str) -> None:
        calls.append((run, request.presets[0].name))

    monkeypatch.setattr(grid_findings, "run_command", run_command)
    assert main(["grid", "--preset", "three-orders", "--dry-run", word]) == 0
    assert calls == [(runs, "three-orders")]


def test_the_plan_and_the_verdict_are_printed(
    local_store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(findings, "run_missing", lambda *arguments: pytest.fail("it was run"))
    words = ["grid", "--preset", "relearning", "--device", "cpu", "--edit-batches", "3"]
    assert main([*words, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("relearning: A few steps of training bring back what was unlearned")
    assert "recompress=auto: 17 runs, 0 of them finished, 17 missing" in printed
    verdict = "| 1. A few steps on benign texts bring back what was unlearned | cannot be told |"
    assert verdict in printed and "not run: none" in printed


def test_two_batches_are_too_few_and_said_in_one_line(
    local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["grid", "--preset", "relearning", "--edit-batches", "2"]) == 2
    assert capsys.readouterr().err == "error: edit_batches must be from 3 to 1000, but got 2\n"
