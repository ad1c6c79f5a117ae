"""What is said of wrong input: the value, what is valid, and the nearest names."""

import pytest

from interventions.errors import InvalidInput, did_you_mean, one_of


def test_a_valid_value_is_returned_and_another_is_named_with_all_valid_ones() -> None:
    assert one_of("device", "cuda", ("auto", "cpu", "cuda")) == "cuda"
    with pytest.raises(InvalidInput) as error:
        one_of("device", "gpu", ("auto", "cpu", "cuda"))
    assert str(error.value) == "device must be auto or cpu or cuda, but got 'gpu'"
    assert isinstance(error.value, ValueError)


def test_the_nearest_names_are_proposed_if_they_are_near_enough() -> None:
    known = ["awq", "wanda", "wand", "rtn"]
    assert did_you_mean("wanda ", known) == " Did you mean 'wanda'?"
    assert did_you_mean("wanda ", known, most=2) == " Did you mean 'wanda' or 'wand'?"
    assert did_you_mean("xyz", known) == ""
    assert did_you_mean("rt", known, cutoff=0.9) == "" != did_you_mean("rt", known)
