"""How a refusal is said, and where no run can be ended for it."""

import threading

import pytest

from interventions.errors import MOST_SAID, InvalidInput
from tracking import lifecycle, store


def test_a_reason_leaves_room_for_the_sentence_on_a_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    password = " (a password was recorded)"
    monkeypatch.setattr(lifecycle, "reject_launched_run", lambda reason: password)
    lifecycle.refuse("x" * 9000)
    cut = "x" * (MOST_SAID - len(password) - 1)
    assert capsys.readouterr().err == f"error: {cut}…{password}\n"


def test_in_a_damaged_store_no_run_is_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise RuntimeError

    monkeypatch.setattr(store, "damaged_store", lambda error: InvalidInput("it is damaged"))
    monkeypatch.setattr(
        lifecycle, "reject_launched_run", lambda reason: pytest.fail("the store was asked")
    )
    assert lifecycle.exit_status(command) == 2
    assert capsys.readouterr().err == "error: it is damaged\n"


def test_sigterm_raises_in_the_main_thread_alone() -> None:
    raises: list[bool] = []

    def enter() -> None:
        with lifecycle._sigterm_raises() as does_raise:
            raises.append(does_raise)

    enter()
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert raises == [True, False]
