"""What `composability setup` does, by its options."""

import pytest

from composability.command import main


@pytest.mark.parametrize(
    ("options", "action"),
    [
        ("", "set up"),
        ("--ui 5001", "print 5001"),
        ("--ui 5001 --serve", "serve 5001"),
    ],
)
def test_options_say_what_is_done(
    options: str, action: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tracking.setup.set_up", lambda: print("set up"))
    monkeypatch.setattr("tracking.setup.runs_table_address", lambda port: f"print {port}")
    monkeypatch.setattr("tracking.setup.serve_ui", lambda port: print(f"serve {port}"))
    assert main(["setup", *options.split()]) == 0
    assert capsys.readouterr().out == f"{action}\n"


def test_a_command_that_returns_nothing_has_done_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for returned, status in ((None, 0), (0, 0), (3, 3)):
        monkeypatch.setattr(
            "composability.command.cli.main", lambda *words, _status=returned, **options: _status
        )
        assert main(["run"]) == status
