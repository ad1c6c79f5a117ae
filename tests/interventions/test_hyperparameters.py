"""Hyperparameters: coercion, types, bounds and what is said of wrong ones."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from interventions.errors import InvalidInput
from interventions.hyperparameters import (
    check_fields,
    default_value,
    fields_of,
    hyperparameter,
    with_defaults,
)


@dataclass(frozen=True)
class Example:
    share: float = hyperparameter(0.5, "share", low=0, below=1, paper=0.25)
    steps: int = hyperparameter(10, "steps", low=1, high=99)
    rate: float = hyperparameter(0.1, "rate", above=0)
    layers: tuple[int, ...] = hyperparameter((1,), "layers", low=0)
    mode: Literal["fast", "slow"] = hyperparameter("fast", "mode")
    adaptive: bool = hyperparameter(True, "whether")
    limit: int | None = hyperparameter(None, "limit", low=2)

    def __post_init__(self) -> None:
        check_fields(self, "example")


def fields(**values: Any) -> Example:
    return Example(**values)


@pytest.mark.parametrize(
    ("field", "written", "value"),
    [
        ("share", 0, 0.0),
        ("steps", 99, 99),
        ("layers", 3, (3,)),
        ("layers", [4, 5], (4, 5)),
        ("limit", None, None),
        ("limit", 2, 2),
        ("rate", 1e-300, 1e-300),
        ("rate", 1e300, 1e300),
    ],
)
def test_a_value_is_coerced_to_its_fields_type(field: str, written: Any, value: Any) -> None:
    coerced = getattr(fields(**{field: written}), field)
    assert coerced == value and type(coerced) is type(value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("share", 1, "example.share must be at least 0 and less than 1, but got 1.0"),
        ("share", -0.1, "example.share must be at least 0 and less than 1, but got -0.1"),
        ("share", True, "example.share must be a number, but got True"),
        ("share", None, "example.share must be a number, but got None"),
        ("steps", 0, "example.steps must be at least 1 and at most 99, but got 0"),
        ("steps", 100, "example.steps must be at least 1 and at most 99, but got 100"),
        ("steps", 1.0, "example.steps must be an integer, but got 1.0"),
        ("steps", True, "example.steps must be an integer, but got True"),
        ("rate", 0, "example.rate must be greater than 0, but got 0.0"),
        ("rate", math.inf, "example.rate must be greater than 0, but got inf"),
        ("rate", 10**400, "example.rate must be greater than 0, but got inf"),
        ("rate", -(10**400), "example.rate must be greater than 0, but got -inf"),
        ("rate", math.nan, "example.rate must be greater than 0, but got nan"),
        ("layers", (), "example.layers must be a tuple of an integer, such as (1, 2), but got ()"),
        ("layers", "12", "example.layers must be a tuple of an integer"),
        ("layers", (1, -1), "example.layers must be at least 0, but got -1"),
        ("layers", (1, 2.5), "but got (1, 2.5)"),
        ("mode", "quick", "example.mode must be one of 'fast', 'slow', but got 'quick'"),
        ("adaptive", 1, "example.adaptive must be True or False, but got 1"),
        ("limit", 1, "example.limit must be at least 2, but got 1"),
        ("limit", 2.5, "example.limit must be an integer or None, but got 2.5"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_valid(field: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        fields(**{field: value})
    assert message in str(error.value)


def test_a_number_without_bounds_must_be_finite() -> None:
    @dataclass(frozen=True)
    class Unbounded:
        shift: float = hyperparameter(0.0, "shift")

    wrong = Unbounded(math.inf)
    with pytest.raises(InvalidInput, match=r"name\.shift must be finite, but got inf"):
        check_fields(wrong, "name")
    check_fields(Unbounded(-5.0), "name")


def test_defaults_fill_what_is_not_given_by_profile() -> None:
    assert list(fields_of(Example)) == [
        "share", "steps", "rate", "layers", "mode", "adaptive", "limit"
    ]  # fmt: skip
    share, steps = fields_of(Example)["share"], fields_of(Example)["steps"]
    assert [default_value(share, profile) for profile in ("testbed", "paper")] == [0.5, 0.25]
    assert [default_value(steps, profile) for profile in ("testbed", "paper")] == [10, 10]
    values = with_defaults(Example, "example", {"steps": 3}, "paper")
    assert values["share"] == 0.25 and values["steps"] == 3 and len(values) == 7


def test_an_unknown_field_is_named_with_the_nearest_and_all() -> None:
    with pytest.raises(InvalidInput) as error:
        with_defaults(Example, "example", {"shares": 1}, "testbed")
    assert str(error.value) == (
        "example has no hyperparameter 'shares'. Did you mean 'share'?"
        " It has: share, steps, rate, layers, mode, adaptive, limit"
    )

    with pytest.raises(InvalidInput, match="Did you mean 'rate'"):
        with_defaults(Example, "example", {"lrat": 1}, "testbed")

    @dataclass(frozen=True)
    class Empty:
        pass

    with pytest.raises(InvalidInput, match=r"empty has no hyperparameter 'shares'\. It has: none"):
        with_defaults(Empty, "empty", {"shares": 1}, "testbed")


def test_one_number_may_be_all_that_is_within_the_bounds() -> None:
    assert hyperparameter(1, "steps", low=1, high=1).default == 1
    for bounds in ({"low": 2, "high": 1}, {"above": 2, "high": 1}, {"low": math.nan}):
        with pytest.raises(InvalidInput, match=r"^'steps': no number is within the bounds"):
            hyperparameter(1, "steps", **bounds)


def test_of_too_many_items_all_are_counted() -> None:
    assert len(fields(layers=range(1000)).layers) == 1000
    for count in (1001, 1500):
        with pytest.raises(InvalidInput, match=f"layers must have at most 1000.* but got {count}$"):
            fields(layers=range(count))
