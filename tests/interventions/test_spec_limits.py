"""Spec strings that would stop the parser, run code or look like others: each is one line."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from interventions import specs
from interventions.composition import Composition
from interventions.errors import InvalidInput
from interventions.specs import _check_characters, _check_count, calls, sweep

READERS: list[Callable[[Any], Any]] = [Composition.parse, sweep]


@pytest.mark.parametrize(
    "text",
    [
        "-" * 99_000 + "1",
        "not " * 5000 + "x",
        "a" + ".b" * 40_000,
        "|".join("a" * 50_000),
        "+".join("1" * 40_000),
        "lambda:" * 5000 + "1",
        "a" + "(b=1)" * 10_000,
        "(" * 200 + "ft" + ")" * 200,
        "ft(layers=" + "(" * 11 + "1," + ")" * 11 + ")",
        "ft(lr=" + "-" * 3000 + "1)",
        "ft(lr=" + "9" * 5000 + ")",
        "9" * 4301,
        "x" * 99_999,
        "x" * 10**6,
        "lora(targets=(" + "'q_proj'," * 2000 + "))",
    ],
    ids=lambda text: f"{text[:20]}...",
)
@pytest.mark.parametrize("read", READERS, ids=["parse", "sweep"])
def test_long_and_nested_text_is_one_line_soon(read: Callable[[Any], Any], text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(InvalidInput) as error:
        read(text)
    assert time.perf_counter() - start < 5
    assert len(str(error.value)) < 400 and str(error.value).isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ft(lr=1if 2else 3)", "ft.lr must be a plain value"),  # Python warns of it
        ("ft(lr='\\d')", "ft.lr must be a number"),
        ("ft(lr=f'{1}')", "ft.lr must be a plain value"),
        ("ft(lr=lambda: 1)", "ft.lr must be a plain value"),
        ("ft(lr=(x := 1))", "ft.lr must be a plain value"),
        ("ft(lr={[]: 1})", "ft.lr must be a plain value"),
        ("ft(lr={[1]})", "ft.lr must be a plain value"),
        ("ft(lr=10**400)", "ft.lr must be a plain value"),
        ("ft(lr=...)", "ft.lr must be a number"),
        ("ft(lr=b'x')", "ft.lr must be a number"),
        ("ft(lr=1+2j)", "ft.lr must be a number"),
        ("ft(lr=1, lr=2)", "ft.lr is given twice"),
        ("none(lr=1)", "none is the empty composition and takes no values"),
        ("ft.__class__", "cannot read 'ft.__class__'"),
        ("__import__('os')", "__import__ takes key=value only"),
        ("ft(__class__=1)", "ft has no hyperparameter '__class__'"),
        ("__class__", "no intervention is named '__class__'"),
        (
            "\uff57\uff41\uff4e\uff44\uff41",
            "a spec is written in ASCII",
        ),  # Python reads it as wanda
        ("w\u0430nda", "a spec is written in ASCII"),  # Cyrillic
        ("ft(\u202elr=1)", "a spec is written in ASCII"),
        ("ft\0", "a spec is written in ASCII"),
        ("ft\x1b[31m", "a spec is written in ASCII"),
        ("\ud800", "a spec is written in ASCII"),
        (5, "cannot read 5"),
        (None, "cannot read None"),
        (b"ft", "cannot read b'ft'"),
        (["ft"], "cannot read ['ft']"),
    ],
)
def test_what_is_no_call_with_plain_values_is_one_line(text: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        sweep(text)
    assert message in str(error.value)
    assert len(str(error.value)) < 400 and str(error.value).isprintable()
    with pytest.raises(InvalidInput):
        Composition.parse(text)


def test_text_in_quotes_may_have_any_letters_and_lists_may_stand_on_lines_of_their_own() -> None:
    assert Composition.parse("lora(targets='gewöhnlich')")[0].params()["targets"] == ["gewöhnlich"]
    assert len(sweep("ft\nga\twanda".replace("\t", ";"))) == 3


def test_a_hundred_steps_are_read_and_more_are_not() -> None:
    assert len(Composition.parse(" | ".join(["ft"] * 100))) == 100
    with pytest.raises(InvalidInput, match="a composition may have 100 steps, but got more"):
        Composition.parse(" | ".join(["ft"] * 101))


def test_the_interventions_of_a_sweep_are_counted_before_any_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def make(*args: Any, **values: Any) -> None:
        raise AssertionError("made")

    monkeypatch.setattr(specs, "make", make)
    levels = [round(0.001 * level, 3) for level in range(400)]
    text = f"wanda(sparsity={levels}, samples={list(range(1, 301))})"
    with pytest.raises(InvalidInput, match="may have 100000 interventions, but its lists make 120"):
        sweep(text)


def test_ten_brackets_may_be_within_one_another() -> None:
    _check_characters("ft" + "(" * 10 + ")" * 10 + "[]" * 20)
    with pytest.raises(InvalidInput, match="10 brackets within one another, but got 11"):
        _check_characters("ft" + "([{" * 3 + "((" + "))" + "}])" * 3)
    _check_characters("ft(a='" + "(" * 50 + "')")  # those of a text are none


def test_as_many_characters_and_interventions_as_may_be_are_let_through() -> None:
    _check_characters("a" * 100_000)
    with pytest.raises(InvalidInput, match="may have 100000 characters, but got 100001: 'aaa"):
        _check_characters("a" * 100_001)
    _check_count(100_000)
    with pytest.raises(InvalidInput, match=r"may have 100000 interventions, .* make 100001$"):
        _check_count(100_001)


@pytest.mark.parametrize("text", ["ft\0", "ft(a='\x1b')", "gewöhnlich"])
def test_neither_unprintable_characters_nor_letters_beyond_ascii_are_let_through(text: str) -> None:
    with pytest.raises(InvalidInput, match="a spec is written in ASCII"):
        _check_characters(text)


def test_a_long_name_is_cut_at_50_characters() -> None:
    with pytest.raises(InvalidInput) as error:
        calls(f"{'a' * 60}(5)")
    assert str(error.value).startswith(f"{'a' * 48}… takes key=value only, but got '5'")
