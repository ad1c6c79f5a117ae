"""What is said of a run whose summary cannot be read."""

import pytest

from composability.commands import run


def test_the_reason_is_cut_at_two_hundred_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(run_id: str) -> None:
        raise RuntimeError("x" * 900)

    monkeypatch.setattr("tracking.run_summary.run_summary", broken)
    run._print_summary("abc", as_json=False, options="")
    reason = f"{'x' * 199}…"
    assert capsys.readouterr().err == (
        f"warning: what run abc found cannot be read back: {reason}\n"
    )
