"""Lengths, seeds and batches of edits, as text and as Python values."""

from typing import Any

import pytest

from interventions.errors import InvalidInput
from sweeps.grid.ranges import read_indices, read_range

NO_RANGES = (
    "",
    "x",
    "3..1",
    "-1",
    "1..",
    "..2",
    "1.5",
    "10001",
    "0..10000",
    "0..99999999999",
    "9..99999999999",
)
NO_INDICES = ("", "x", "0", "-1", "0,0", "-1,2", "1,", "10001", "99999999999")
TEN_THOUSAND = ",".join(map(str, range(10000)))


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ("2", [2]),
        ("1..3", [1, 2, 3]),
        ("0..0", [0]),
        ("10000", [10000]),
        (2, [2]),
        (0, [0]),
        ([0, 2], [0, 2]),
        ((1, 2), [1, 2]),
        (range(3), [0, 1, 2]),
        ("1..10000", list(range(1, 10001))),
    ],
)
def test_a_range_has_both_its_ends(value: Any, numbers: list[int]) -> None:
    assert read_range("length", value) == numbers


@pytest.mark.parametrize(
    "value",
    [*NO_RANGES, 1.5, True, None, -1, 10001, [], [1, 1], [0, "1"], [0, True], [-1, 0], {1, 2}],
)
def test_what_is_no_range_is_said(value: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_range("length", value)
    assert str(raised.value) == (
        f"length must be a number or a range such as 0..2, up to 10000, but got {value!r}"
    )


def test_a_range_may_have_a_least_number() -> None:
    assert read_range("length", "2", least=2) == [2]
    with pytest.raises(InvalidInput, match=r"such as 2\.\.4, .* but got '1'"):
        read_range("length", "1", least=2)


@pytest.mark.parametrize(
    ("value", "indices"),
    [
        ("3", [0, 1, 2]),
        ("4,0", [4, 0]),
        ("4294967296,0", [4294967296, 0]),  # refused later, with the bounds of a seed
        (3, [0, 1, 2]),
        ([4], [4]),
        ((4, 0), [4, 0]),
    ],
)
def test_indices_are_the_first_ones_or_these(value: Any, indices: list[int]) -> None:
    assert read_indices("seeds", value) == indices


def test_as_many_indices_as_are_valid_can_be_counted() -> None:
    assert read_indices("seeds", 10000) == list(range(10000)) == read_indices("seeds", "10000")
    assert read_indices("seeds", TEN_THOUSAND) == list(range(10000))


@pytest.mark.parametrize("more", [",10000", ",10000,10001", ",x", ","])
def test_more_indices_than_are_valid_cannot_be_named(more: str) -> None:
    with pytest.raises(InvalidInput, match=r"up to 10000\) or which"):
        read_indices("seeds", f"{TEN_THOUSAND}{more}")


@pytest.mark.parametrize(
    "value",
    [*NO_INDICES, 1.5, True, None, 0, -1, 10001, [], [0, 0], [-1], ["0"]],
)
def test_what_are_no_indices_is_said(value: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_indices("seeds", value)
    assert str(raised.value) == (
        f"seeds must be how many (3, up to 10000) or which (0,4), each once, but got {value!r}"
    )
