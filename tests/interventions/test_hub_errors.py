"""What the hub says reaches the user as a whole, in the line or as a note below it."""

import pytest

from interventions.errors import MOST_SAID
from interventions.hub_errors import hub_message, with_hub_message


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("401 Client Error. (Request ID: a;b)\n\nRepository Not Found.", "Repository Not Found."),
        ("500 Server Error.\nTry later.", "Try later."),
        ("Dataset is gated.\nVisit the page.", "Dataset is gated. Visit the page."),
        ("", "OSError"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
    ],
)
def test_the_message_is_one_line_without_the_requests_id(said: str, told: str) -> None:
    assert hub_message(OSError(said)) == told


def test_a_token_in_the_message_is_hidden() -> None:
    assert "hf_" not in hub_message(OSError("bad token hf_" + "a1" * 15))


@pytest.mark.parametrize("length", [10, 200, 2000])
def test_the_whole_message_is_in_the_line_or_in_a_note(length: int) -> None:
    message = "word " * (length // 5) + "end"
    error = with_hub_message("cannot read it", OSError(message), "; do this")
    assert str(error).startswith("cannot read it") and str(error).endswith("; do this")
    assert len(str(error)) <= MOST_SAID
    notes = getattr(error, "__notes__", [])
    assert (message in str(error)) != any(message in note for note in notes)
    assert all(note.isprintable() for note in notes)
