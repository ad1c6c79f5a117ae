"""What is said of wrong input: the value, what is valid, and the nearest names."""

import math
import pickle
import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from interventions.errors import (
    MOST_NAME,
    MOST_SAID,
    MOST_SHOWN,
    InvalidInput,
    did_you_mean,
    one_of,
    plain_text,
    printable_line,
    shown,
    whole_number,
)


class Broken:
    """An object none of whose methods works."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    @property
    def shape(self) -> Any:
        raise KeyError("no shape")


class BrokenText(str):
    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __getitem__(self, index: Any) -> str:
        raise RuntimeError("no part")


def nested(depth: int) -> tuple[Any, ...]:
    value: tuple[Any, ...] = ()
    for _ in range(depth):
        value = (value,)
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("wnda", "'wnda'"),
        (3, "3"),
        (None, "None"),
        (math.nan, "nan"),
        ("two\nlines\x1b[31m", "'two\\nlines\\x1b[31m'"),
        ("\ud800", "'\\ud800'"),
        ("turned \u202e", "'turned \\u202e'"),
        pytest.param(10**5000, "an integer of about 5001 digits", id="digits"),
        (torch.ones(3, 4), "Tensor of shape (3, 4)"),
        (np.ones((2, 2)), "ndarray of shape (2, 2)"),
        (Broken(), "an object of type Broken"),
        (BrokenText("a"), "an object of type BrokenText"),
        ([Broken()], "an object of type list"),
        (SimpleNamespace(shape=(2,)), "namespace(shape=(2,))"),
        pytest.param(10**99, str(10**99), id="100 digits"),
        pytest.param(10**100, "an integer of about 101 digits", id="101 digits"),
        ([[[1]]], "[[[1]]]"),
        ([[[[1]]]], "[[[[…]]]]"),
        ([7] * 20, f"[{', '.join('7' * 20)}]"),
        ([7] * 21, f"[{', '.join('7' * 20)}, …]"),
        (range(10**9), "range(0, 1000000000)"),
    ],
)
def test_what_a_message_repeats_is_short_printable_and_never_an_error(
    value: object, text: str
) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, b"x" * 10**6, [10**30] * 10**5, {str(i): i for i in range(10**4)}, nested(10**4)],
    ids=["text", "bytes", "list", "dict", "nested"],
)
def test_a_large_value_is_not_written_out_to_be_cut(value: object) -> None:
    tracemalloc.start()
    text = shown(value)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    assert len(text) <= MOST_SHOWN and text.isprintable()
    assert "…" in text


def test_a_message_is_one_printable_line_that_fits_with_the_word_before_it() -> None:
    message = str(InvalidInput("first\nsecond\r\n\x1b[31m\ud800" + "x" * 1000))
    assert message.startswith("first second \\x1b[31m\\ud800xxx")
    assert message.endswith("x…") and message.isprintable()
    assert len(f"error: {message}") < 400 and len(message) == MOST_SAID
    assert str(InvalidInput("short")) == "short"


def test_a_text_of_the_greatest_length_is_not_cut() -> None:
    assert printable_line("abcd", most=4) == "abcd" != printable_line("abcde", most=4) == "abc…"
    # with the ends of its lines, twice the length is looked at and no more
    assert printable_line("\r\n" * 4, most=4) == "   "
    assert printable_line("\r\n" * 4 + "a", most=4) == "   …"


def test_no_more_than_twice_the_length_of_a_text_is_looked_at() -> None:
    address = f"https://u:{'p' * 28}@h "  # 41 characters, of which 16 are left
    assert printable_line(f"{address}abc", most=21) == "https://u:***@h a…"
    text = address * 19 + "a"
    assert len(text) == 2 * MOST_SAID
    assert shown(f"{text}b", MOST_SAID)[1:-1] == "https://u:***@h " * 19 + "a"


def test_a_refusal_reaches_another_process_as_it_is() -> None:
    error = InvalidInput("seed must be 3")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("value", [True, "3", 2.0, None, -1, 10, 10**4000])
def test_a_whole_number_is_an_integer_within_its_bounds(value: object) -> None:
    assert whole_number("seed", 0, 0, 9) == 0 and whole_number("seed", 9, 0, 9) == 9
    with pytest.raises(InvalidInput, match="seed must be an integer from 0 to 9, but got"):
        whole_number("seed", value, 0, 9)


@pytest.mark.parametrize("name", ["a", "first try", "a/b", "ünïcödé", "x" * MOST_NAME])
def test_a_name_is_one_printable_line(name: str) -> None:
    assert plain_text("experiment", name) == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "a ", " a", "a\nb", "a\0b", "\x1b[31m", "\ud800", "x" * 201, "ü" * 101, 5, None],
)
def test_a_name_that_no_file_or_column_can_hold_is_refused(name: object) -> None:
    with pytest.raises(InvalidInput, match="experiment must be one line of 1 to 200 printable"):
        plain_text("experiment", name)


@pytest.mark.parametrize(("blanks", "length"), [(49, ""), (50, "51 characters, ")])
def test_the_length_of_a_long_name_is_told(blanks: int, length: str) -> None:
    name = "a" + " " * blanks
    with pytest.raises(InvalidInput, match=f"at its ends, but got {length}'{name}'$"):
        plain_text("experiment", name)


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


def test_what_is_no_text_is_near_to_nothing_and_a_long_text_is_not_compared() -> None:
    known = ["awq", "wanda"]
    assert did_you_mean(5, known) == "" == did_you_mean("wanda" * 10**5, known)
    for length, hint in ((MOST_SHOWN, f" Did you mean '{'a' * MOST_SHOWN}'?"), (201, "")):
        assert did_you_mean("a" * length, ["a" * length]) == hint
    for value in (5, None, ["cpu"]):
        with pytest.raises(InvalidInput, match="device must be cpu or cuda, but got"):
            one_of("device", value, ("cpu", "cuda"))
