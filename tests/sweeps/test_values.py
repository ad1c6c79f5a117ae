"""Names and switches, as a user gives them."""

import pytest

from interventions.errors import InvalidInput
from sweeps.values import check_sweep_name, read_switch


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
