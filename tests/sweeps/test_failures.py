"""The exit status of a sweep's command."""

import pytest

from interventions.errors import InvalidInput
from sweeps.failures import Incomplete, sweep_exit_status
from sweeps.retry import StoreAway


def raising(error: Exception | None) -> int:
    def command() -> None:
        if error is not None:
            raise error

    return sweep_exit_status(command)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 0),
        (Incomplete("1 of 3 failed\n  ft: out of luck"), 1),
        (StoreAway("connection refused"), 1),
        (InvalidInput("no such thing"), 2),
    ],
)
def test_the_status_says_how_a_sweep_ended(
    error: Exception | None,
    status: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    assert raising(error) == status
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == (f"error: {error}\n" if error else "")


def test_a_store_that_goes_away_while_nothing_waits_for_it_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert raising(ConnectionError("refused\nby the host")) == 1
    assert capsys.readouterr().err == "error: the store is away: refused by the host\n"


def test_an_error_of_the_program_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())
