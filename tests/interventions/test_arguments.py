"""Arguments of public functions are checked against their annotations, in one place."""

import doctest
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import pandas as pd
import pytest

from interventions.arguments import check_columns, check_type, checked, type_in_words
from interventions.errors import InvalidInput


@checked
def example(
    text: str,
    *,
    seed: int = 0,
    share: float = 0.5,
    names: Iterable[str] | None = None,
    levels: Mapping[str, float] | None = None,
    error: Literal["best", "worst"] = "best",
    pair: str | tuple[str, str] = "",
    call: Callable[[], None] | None = None,
) -> str:
    """Return the text.

    Example:
        >>> example("a")
        'a'
    """
    return text


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"seed": 2**40, "share": 1, "names": ["a"], "levels": {"bits": 4}},
        {"names": iter([5]), "pair": ("a", "b"), "error": "worst", "call": print},
        {"names": pd.Series(["a"]), "share": pd.Series([0.5])[0]},
    ],
)
def test_arguments_of_the_annotated_types_pass(arguments: dict[str, Any]) -> None:
    assert example("a", **arguments) == "a"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": 5}, "text must be a string, but got 5"),
        ({"seed": "a"}, "seed must be an integer, but got 'a'"),
        ({"seed": True}, "seed must be an integer, but got True"),
        ({"seed": 1.5}, "seed must be an integer, but got 1.5"),
        ({"share": "a"}, "share must be a number, but got 'a'"),
        ({"share": True}, "share must be a number, but got True"),
        ({"names": "mmlu"}, "names must be several of a string or None, but got 'mmlu'"),
        ({"names": [1]}, "names must be several of a string or None, but got"),
        ({"levels": {"bits": "4"}}, "levels must be a mapping of a string to a number or None"),
        ({"levels": {1: 4}}, "levels must be a mapping of a string to a number or None"),
        ({"error": "mean"}, "error must be one of 'best', 'worst', but got 'mean'"),
        ({"error": ["best"]}, "error must be one of 'best', 'worst', but got"),
        ({"pair": ("a",)}, "pair must be a string or (a string, a string), but got ('a',)"),
        ({"call": 5}, "call must be a function or None, but got 5"),
        ({"sed": 1}, "example has no argument 'sed'. Did you mean 'seed'? It has: text, seed,"),
    ],
)
def test_an_argument_of_another_type_or_name_is_one_line(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        example(**{"text": "a", **arguments})
    assert message in str(error.value)


def test_too_few_and_too_many_arguments_are_one_line() -> None:
    with pytest.raises(InvalidInput, match="example: missing a required argument: 'text'"):
        example()  # type: ignore[call-arg]
    with pytest.raises(InvalidInput, match="example: too many positional arguments"):
        example("a", 5)  # type: ignore[call-arg]


def test_a_checked_function_looks_like_itself_and_its_example_is_found() -> None:
    assert example.__name__ == "example" and "Return the text" in (example.__doc__ or "")
    tests = doctest.DocTestFinder().find(sys.modules[__name__])
    assert "example" in [test.name.rpartition(".")[2] for test in tests]


def test_a_type_is_said_in_words() -> None:
    assert type_in_words(Sequence[int] | bool) == "several of an integer or True or False"
    assert type_in_words(pd.DataFrame) == "a DataFrame"
    with pytest.raises(InvalidInput, match="runs must be a DataFrame, but got 5"):
        check_type("runs", 5, pd.DataFrame)


def test_a_range_is_not_read_to_its_end() -> None:
    """It would fill the memory as a list of wrong run ids."""
    numbers = range(10**15)
    with pytest.raises(InvalidInput, match="names must be several of a string"):
        example("a", names=numbers)  # type: ignore[arg-type]
    check_type("seeds", numbers, Iterable[int])


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        ({}, Mapping[str, float], True),
        ({"a": 1, "b": 2}, Mapping[str, float], True),
        ({"a": 1, "b": "2"}, Mapping[str, float], False),
        ({"a": 1, 2: 2}, Mapping[str, float], False),
        (("a", 1), tuple[str, int], True),
        (("a", "b"), tuple[str, int], False),
        (("a",), tuple[str, int], False),
        ((), tuple[int, ...], True),
        ((1, 2, 3), tuple[int, ...], True),
        (("a", 1), tuple[int, ...], False),
        ([], list[str], True),
        (["a", 1], list[str], False),
        ([1, "a"], list[str], False),
        (range(0), Sequence[str], True),
        (range(1), Sequence[int], True),
        (range(9), Sequence[str], False),
        (5, Any, True),
        (5, TypeVar("T"), True),
        (10**300, float, True),
        (10**300 + 1, float, False),
    ],
)
def test_every_part_of_a_value_is_of_its_type(value: object, hint: Any, fits: bool) -> None:
    if fits:
        check_type("value", value, hint)
    else:
        with pytest.raises(InvalidInput, match="value must be"):
            check_type("value", value, hint)


def test_a_column_that_a_table_lacks_is_named_beside_the_first_twenty() -> None:
    check_columns("table", pd.DataFrame(columns=["a", "b"]), ["b", "a"])
    for columns, known in (([], "none"), (range(25), ", ".join(map(str, range(20))))):
        with pytest.raises(InvalidInput) as error:
            check_columns("table", pd.DataFrame(columns=columns), ["a", "b"])
        assert str(error.value) == f"table must have a column 'a', but its columns are: {known}"


def test_a_function_may_take_any_names_beside_its_own() -> None:
    @checked
    def with_rest(text: str, **rest: Any) -> dict[str, Any]:
        return rest

    assert with_rest("a", levels=3) == {"levels": 3}


def test_a_tuple_is_described_with_its_length_or_without() -> None:
    assert type_in_words(tuple[int, ...]) == "several of an integer"
    assert type_in_words(tuple[str, int]) == "(a string, an integer)"
