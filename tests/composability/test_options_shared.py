"""The options that several commands share: their defaults, and which values they take."""

from collections.abc import Callable
from typing import Any

import click
import pytest

from composability.commands import options, steps

Row = tuple[str, object, str]

# (name, default, type) in the order of the help
SETTINGS: list[Row] = [
    ("--model", "testbed", "STRING"),
    ("--data", "testbed", "STRING"),
    ("--split", "test", "Choice(['test', 'validation', 'held_out'])"),
    ("--window", 0, "<Integer 0<=x<=1048576>"),
    ("--stride", 0, "<Integer 0<=x<=1048576>"),
    ("--tail", "keep", "Choice(['keep', 'drop'])"),
    ("--criteria", "all", "STRING"),
    ("--limit", 0, "<Integer 0<=x<=1000000000>"),
    ("--prompt-format", "plain", "Choice(['plain', 'chat'])"),
    ("--recompress", "preset", "Choice(['auto', 'never', 'paper', 'preset'])"),
    ("--checkpoints", "all", "Choice(['all', 'last', 'changed', 'none'])"),
    ("--device", "auto", "Choice(['auto', 'cpu', 'cuda'])"),
    ("--dtype", "auto", "Choice(['auto', 'float32', 'bfloat16', 'float16'])"),
    ("--trust-remote-code", False, "BOOL"),
    ("--allow-pickle", False, "BOOL"),
    ("--experiment", "composability", "STRING"),
]
RAY: list[Row] = [
    ("--workers", 1, "<Integer x>=1>"),
    ("--ray-address", "none", "STRING"),
    ("--gpus", 0.0, "<FloatRange x>=0>"),
]
COMPOSITION: list[Row] = [
    ("--first", "none", "STRING"),
    ("--second", "none", "STRING"),
    ("--then", "none", "STRING"),
    ("--seed", 0, "<Integer 0<=x<=4294967295>"),
    ("--edit-batch", 0, "<Integer x>=0>"),
]


def command_with(*decorators: options.Decorator[Any]) -> click.Command:
    """Return a command, made anew, that has some options."""
    return click.command()(options.stack(*decorators)(lambda **values: values))


def value_of(decorator: options.Decorator[Any], *words: str) -> object:
    """Return what a command line comes to for a command with one option."""
    (value,) = command_with(decorator).make_context("shared", list(words)).params.values()
    return value


@pytest.mark.parametrize(
    ("make_options", "expected"),
    [
        (options.run_settings, SETTINGS),
        (options.ray_resources, RAY),
        (steps.composition_options, COMPOSITION),
    ],
)
def test_shared_options_have_these_defaults_and_types_and_show_the_defaults(
    make_options: Callable[[], options.Decorator[Any]], expected: list[Row]
) -> None:
    command = command_with(make_options())
    rows = []
    for option in command.params:
        if isinstance(option, click.Option):
            rows.append((option.opts[0], option.default, repr(option.type)))
            is_switch = isinstance(option.type, click.types.BoolParamType)
            assert option.show_default == ("false" if is_switch else True)
    assert rows == expected
    context = command.make_context("shared", [])
    for option in command.params:
        assert context.params[str(option.name)] == option.default


def test_a_command_without_splits_has_all_other_settings() -> None:
    command = command_with(options.run_settings(checkpoints="none", split=False))
    names = [option.opts[0] for option in command.params]
    assert names == [name for name, *_ in SETTINGS if name != "--split"]
    assert command.make_context("shared", []).params["checkpoints"] == "none"


def test_the_composition_is_none_unless_it_is_named() -> None:
    command = command_with(steps.composition_options())
    assert command.make_context("run", []).params["composition"] == "none"
    assert command.make_context("run", ["lora", "--seed", "7"]).params == {
        **{"composition": "lora", "first": "none", "second": "none", "then": "none"},
        **{"seed": 7, "edit_batch": 0},
    }


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([], False),
        (["--json"], True),
        (["--json", "true"], True),
        (["--json", "no"], False),
        (["--json=1"], True),
        (["--json=0"], False),
    ],
)
def test_a_switch_is_on_if_it_is_named_unless_false_follows(words: list[str], value: bool) -> None:
    assert value_of(options.switch("--json", "Print JSON."), *words) is value


@pytest.mark.parametrize("text", ["", " "])
def test_a_switch_takes_no_empty_text(text: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        value_of(options.switch("--json", "Print JSON."), "--json", text)
    assert error.value.message == f"{text!r} is not a valid boolean."


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:99"])
def test_a_device_is_a_choice_or_a_gpu_by_its_index(device: str) -> None:
    assert value_of(options.device_option(), "--device", device) == device


@pytest.mark.parametrize("device", ["gpu", "cuda:01", "cuda:100", ""])
def test_a_device_is_nothing_else(device: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        value_of(options.device_option(), "--device", device)
    assert error.value.message == f"{device!r} is not one of 'auto', 'cpu', 'cuda'."


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("2.5", 2.5), ("4", 4.0)])
def test_a_number_is_one_of_its_range(text: str, value: float) -> None:
    number = click.option("--hours", type=options.Number(0, 4))
    assert value_of(number, "--hours", text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nan", "'nan' is not a valid number."),
        ("inf", "'inf' is not a valid number."),
        ("-0.5", "-0.5 is not in the range x>=0."),
        ("few", "'few' is not a valid float range."),
    ],
)
def test_a_number_is_finite(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        value_of(click.option("--hours", type=options.Number(0)), "--hours", text)
    assert error.value.message == message


@pytest.mark.parametrize(("text", "value"), [("2", 2), ("5", 5), (" 3", 3)])
def test_an_integer_is_one_of_its_range(text: str, value: int) -> None:
    assert value_of(options.integer("--step", 3, 2, "A step.", 5), "--step", text) == value


@pytest.mark.parametrize("text", ["1", "6"])
def test_an_integer_outside_its_range_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        value_of(options.integer("--step", 3, 2, "A step.", 5), "--step", text)
    assert error.value.message == f"{text} is not in the range 2<=x<=5."


def test_options_are_in_the_order_in_which_they_are_given() -> None:
    command = command_with(
        options.text("--first", "a", "One."), options.choice("--second", "b", ("b", "c"), "Two.")
    )
    assert [option.opts for option in command.params] == [["--first"], ["--second"]]
    assert command.make_context("shared", ["--second", "c"]).params == {"first": "a", "second": "c"}
