"""Names and switches, as a user gives them."""

import pytest
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from interventions.errors import InvalidInput
from sweeps.values import check_sweep_name, check_text, number_text, read_digits, read_switch


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


def test_a_name_that_is_too_long_is_refused_for_its_length_whatever_comes_behind() -> None:
    with pytest.raises(InvalidInput, match="letters, digits, spaces"):
        check_sweep_name("x" * 200 + "'")
    with pytest.raises(InvalidInput, match="one line of 1 to 200"):
        check_sweep_name("x" * 201 + "'")


def test_a_text_may_be_as_long_as_a_param_of_mlflow() -> None:
    check_text("objective", "x" * MAX_PARAM_VAL_LENGTH)
    too_long = MAX_PARAM_VAL_LENGTH + 1
    with pytest.raises(InvalidInput, match=f"may have .* characters, .* but got {too_long}: "):
        check_text("objective", "x" * too_long)
    with pytest.raises(InvalidInput, match="objective must be text, but got 5"):
        check_text("objective", 5)
