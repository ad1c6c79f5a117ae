"""What is printed of a grid that has run; what of one that would: test_command.py."""

import pytest

from sweeps.grid.describe import describe_result
from sweeps.grid.runner import GridResult


def result(finished_before: int = 0, seconds_by_part: dict[str, float] | None = None) -> GridResult:
    return GridResult(
        name="mine",
        run_id="0",
        runs=15,
        finished_before=finished_before,
        applications=18,
        seconds=200.0,
        seconds_by_part=seconds_by_part or {},
    )


@pytest.fixture(autouse=True)
def _store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ada:secret@host/runs")


def test_a_result_is_said_in_two_lines_without_the_stores_password() -> None:
    assert describe_result(result()) == (
        "mine: 15 runs finished in postgresql://ada:***@host/runs\n18 applications, 200 s"
    )


def test_runs_of_before_and_the_parts_that_took_time_are_said() -> None:
    lines = describe_result(result(5, {"log": 20.0, "apply": 100.0, "load": 0.0})).splitlines()
    assert lines[0].startswith("mine: 15 runs finished (5 had finished before) in ")
    assert lines[1] == "18 applications, 200 s: apply 50%, log 10%"
