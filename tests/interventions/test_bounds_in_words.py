"""What messages say at the very bounds where they change."""

import pytest

from interventions.compression.calibration import _seldom_seen
from interventions.errors import MOST_SAID, did_you_mean, printable_line, shown
from interventions.hub_errors import with_hub_message
from interventions.masking import _is_like_a_token


@pytest.mark.parametrize(
    ("count", "more"), [(1, ""), (8, ""), (9, " and 1 more"), (20, " and 12 more")]
)
def test_eight_experts_are_named_and_the_others_counted(count: int, more: str) -> None:
    line = _seldom_seen({f"e{number}": number for number in range(count)})
    names = ", ".join(f"e{number} ({number})" for number in range(min(count, 8)))
    assert f"{count} experts saw fewer than 16 tokens: {names}{more}; those" in line


@pytest.mark.parametrize(("text", "line"), [("", ""), ("abcd", "abcd"), ("abcde", "abc…")])
def test_a_line_has_as_many_characters_as_it_may(text: str, line: str) -> None:
    assert printable_line(text, most=4) == line


def test_an_integer_of_a_hundred_digits_is_written_out() -> None:
    assert shown(10**98) == str(10**98)
    assert shown(10**120) == "an integer of about 121 digits"


def test_a_name_of_two_hundred_characters_is_compared() -> None:
    name = "a" * 200
    assert did_you_mean(name, [name[:-1] + "b"]) != ""
    assert did_you_mean(name + "a", [name]) == ""


@pytest.mark.parametrize(
    ("text", "is_token"), [("a" * 19 + "1", True), ("a" * 18 + "1", False), ("a" * 20, False)]
)
def test_a_token_has_twenty_characters_and_a_digit(text: str, is_token: bool) -> None:
    assert _is_like_a_token(text) is is_token


def test_what_the_hub_says_is_in_the_line_if_it_has_room() -> None:
    room = MOST_SAID - len("cannot read. The hub says: ")
    whole = with_hub_message("cannot read", OSError("x" * room))
    assert len(str(whole)) == MOST_SAID and not hasattr(whole, "__notes__")
    longer = with_hub_message("cannot read", OSError("x" * (room + 1)))
    assert str(longer) == "cannot read"
    assert longer.__notes__ == [f"The hub says: {'x' * (room + 1)}"]
