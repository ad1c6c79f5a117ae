"""What the command of a study does around the study, which is not run."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from sweeps.study import command
from tracking import lifecycle, store


@dataclass(frozen=True)
class Request:
    """A study's request."""

    name: str = "mine"
    params: tuple[tuple[str, str], ...] = (("trials", "5"),)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is called, in order, with what."""
    calls: list[tuple[Any, ...]] = []

    def prepare(request: Request) -> tuple[Any, str]:
        calls.append(("prepare", request.params))
        return SimpleNamespace(request=request), "checkpoints"

    def run(spec: Any, checkpoints: str) -> Any:
        calls.append(("run", spec.request.name, checkpoints))
        return SimpleNamespace(parent_id="1f", conclusion="three trials")

    def reject(name: str, reason: str) -> None:
        calls.append(("reject", name, reason))

    monkeypatch.setattr(store, "check_reachable", lambda: calls.append(("reachable",)))
    monkeypatch.setattr(store, "uri", lambda: "sqlite:///here.db")
    monkeypatch.setattr(command, "read_study_request", lambda **values: Request())
    monkeypatch.setattr(command, "prepare_study", prepare)
    monkeypatch.setattr(command, "run_study", run)
    monkeypatch.setattr(command, "plan_in_words", lambda spec: f"plan of {spec.request.name}")
    monkeypatch.setattr(
        command, "result_in_words", lambda spec, conclusion: f"{conclusion} of {spec.request.name}"
    )
    monkeypatch.setattr(lifecycle, "reject_launched_run", reject)
    return calls


def test_a_study_is_planned_run_and_summed_up(
    calls: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    command.run_command({})
    assert calls == [
        ("reachable",),
        ("prepare", (("trials", "5"), ("dry_run", "false"))),
        ("run", "mine", "checkpoints"),
    ]
    first, second, third = capsys.readouterr().out.splitlines()
    assert (first, second) == ("plan of mine", "three trials of mine")
    assert third.startswith("run 1f in sqlite:///") and "here.db" in third


def test_a_dry_run_ends_with_the_plan(
    calls: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    command.run_command({}, dry_run=True)
    assert calls == [
        ("reachable",),
        ("prepare", (("trials", "5"), ("dry_run", "true"))),
        ("reject", "mine", "dry run"),
    ]
    assert capsys.readouterr().out == "plan of mine\n"
