"""Names and switches, as a user gives them."""

import pytest

from interventions.errors import InvalidInput
from sweeps.values import check_sweep_name, number_text, read_digits, read_switch


def test_a_name_has_no_character_that_ends_a_filter() -> None:
    assert check_sweep_name("Wanda levels-1.2_b+c") == "Wanda levels-1.2_b+c"
    assert check_sweep_name("x" * 200) == "x" * 200
    for name in ("", "it's", "a/b", 'a"b', "x" * 201, "two\nlines"):
        expected = r"name must be (of letters, digits, spaces|one line of 1 to 200)"
        with pytest.raises(InvalidInput, match=expected):
            check_sweep_name(name)


def test_a_switch_is_true_or_false() -> None:
    assert read_switch("dry_run", "True") is True
    assert read_switch("dry_run", "false") is False
    with pytest.raises(InvalidInput, match="dry_run must be true or false, but got '1'"):
        read_switch("dry_run", "1")


def test_an_integer_is_written_with_ascii_digits_and_a_sign() -> None:
    assert [read_digits(text) for text in ("12", "+12", " -12 ")] == [12, 12, -12]
    for text in ("", "1.5", "1_2", "1e3", "\u0663", "1" * 31):
        assert read_digits(text) is None, text


def test_a_number_as_text_is_as_short_as_a_user_writes_it() -> None:
    assert [number_text(value) for value in (2, 1.0, 0.25, "0.5")] == ["2", "1", "0.25", "0.5"]
    assert number_text(None) == "None"
