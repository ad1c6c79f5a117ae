"""Every hyperparameter of every intervention, plug-ins' too: a wrong value is one line, at once."""

import math
from dataclasses import dataclass
from typing import Any, cast, get_args, get_type_hints

import pytest
from transformers import PreTrainedModel

from interventions import hyperparameters
from interventions.base import INTERVENTIONS, Intervention, make
from interventions.composition import Composition
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.data.testbed import testbed as small_world
from interventions.errors import InvalidInput
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM, skeleton
from interventions.lora_targets import find_targets

FIELDS = [
    (name, field)
    for name, cls in INTERVENTIONS.all().items()
    for field in hyperparameters.fields_of(cls)
]
DEEP: Any = ()
for _ in range(1000):
    DEEP = (DEEP,)
WRONG = [
    *(10**8, 10**30, 10**5000, -(10**8), -1, 0, math.nan, math.inf, -math.inf, 1e300),
    *(None, True, False, [], {}, b"x", b"\x01", DEEP, "a\n\x1b[31m", "\ud800", object(), [None]),
    *("x", "x" * 10**6, 2.5, (1, 1), (0.5, "a"), range(10**9), 10**15, "\0"),
]  # fmt: skip
# what of these is a legitimate value of a field; True, False and None are where the type has them
VALID: dict[str, list[Any]] = {
    "alpha": [2.5, 0], "batch_offset": [0], "beta": [2.5],
    "clamp": [2.5], "covariance": [2.5, 10**8], "damp": [2.5],
    "dropout": [0],
    "iterations": [0], "kappa": [2.5],
    "group": [-1], "kl_factor": [2.5, 0], "layers": [0], "lr": [2.5], "orthogonality": [2.5, 0],
    "margin": [2.5, 0, -1], "prefixes": [0], "retain_weight": [2.5, 0], "skip": [0],
    "sparsity": [0], "steering": [2.5],
    "tokens_per_input": [2.5, 0],
    "ridge": [2.5, 10**8], "stop_below": [2.5, 0], "threshold": [2.5, 10**8],
    "weight_decay": [2.5, 0], "weights": [2.5, 0, -1, (1, 1)],
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return skeleton(MODEL)


@pytest.fixture(scope="module")
def data() -> Data:
    return small_world()


def is_valid(name: str, field: str, value: Any) -> bool:
    """Tell whether a value is legitimate, by its type too: True is no 1."""
    hint = get_type_hints(INTERVENTIONS.get(name))[field]
    if value is None or isinstance(value, bool):
        return type(value) in (hint, *get_args(hint))
    if field == "alpha":
        return value in ([2.5] if name in ("lora", "finetune") else [2.5, 0, 10**8])
    if (name, field) == ("finetune", "rank"):
        return bool(type(value) is int and value == 0)
    return any(type(value) is type(valid) and value == valid for valid in VALID.get(field, []))


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_a_wrong_value_of_a_hyperparameter_is_refused_before_weights_are_loaded(
    name: str, field: str, model: PreTrainedModel, data: Data
) -> None:
    for value in WRONG:
        try:
            step = make(name, **{field: value})
            step.check(model)
            step.check_texts(data)
        except InvalidInput as error:
            message = str(error)
            assert message.isprintable() and len(message) < 400 and field in message
            assert not is_valid(name, field, value)
        else:
            assert is_valid(name, field, value), (name, field, type(value))


@pytest.mark.parametrize("name", list(INTERVENTIONS.all()))
def test_the_defaults_are_within_the_limits(name: str, model: PreTrainedModel, data: Data) -> None:
    step = make(name)
    step.check(model)
    step.check_texts(data)
    make(name, "paper")


def test_a_rank_is_at_most_the_smaller_side_of_an_adapted_layer(model: PreTrainedModel) -> None:
    most = find_targets(model, ["mlp"]).greatest_rank
    make("lora", rank=most).check(model)
    with pytest.raises(InvalidInput, match=f"lora.rank must be at most {most}, .* got {most + 1}"):
        make("lora", rank=most + 1).check(model)


def test_more_texts_than_there_are_are_refused_unless_the_default_asks_for_them(
    data: Data,
) -> None:
    make("wanda", samples=len(data.calibration)).check_texts(data)
    with pytest.raises(InvalidInput, match=r"wanda\.samples is 513, but there are 512 texts"):
        make("wanda", samples=513).check_texts(data)
    make("memit", "paper").check_texts(data)  # 100,000 texts, of which the testbed has 5480


def test_the_words_that_an_intervention_is_made_with_are_no_hyperparameters() -> None:
    for word in ("profile", "name", "category", "version", "self", "reads", "apply"):
        with pytest.raises(InvalidInput, match=f"wanda has no hyperparameter '{word}'.*sparsity"):
            Composition.parse(f"wanda({word}=1)")


@pytest.mark.parametrize("field", ["profile", "self", "name", "category", "strength", "apply"])
def test_no_class_may_declare_a_field_of_such_a_name(field: str) -> None:
    body = {"__annotations__": {field: "int"}, field: hyperparameter(1, "of a reserved name")}
    with pytest.raises(InvalidInput, match=f"no hyperparameter may be named '{field}'"):
        cast(Any, type(Intervention))("Reserved", (Intervention,), body, category="editing")
    assert "reserved" not in INTERVENTIONS.all()


def test_no_class_may_be_named_as_the_empty_composition_or_as_no_param_can() -> None:
    for name in ("NONE", "É", "X" * 101):
        with pytest.raises(InvalidInput, match=r"NONE|must be named by at most 100 letters"):
            cast(Any, type(Intervention))(name, (Intervention,), {}, category="editing")
        assert name.lower() not in INTERVENTIONS.all()


def test_a_field_without_bounds_has_those_of_its_type() -> None:
    @dataclass(frozen=True)
    class Loose(Intervention, category="editing"):
        count: int = hyperparameter(1, "without bounds")
        label: str = hyperparameter("a", "without bounds")
        numbers: tuple[float, ...] = hyperparameter((1.0,), "without bounds")

        def apply(self, lm: LM, data: Data) -> LM:
            return lm

    try:
        assert Loose(count=2**63 - 1, label="x" * 1000, numbers=cast(Any, [1] * 1000))
        for values in ({"count": 2**63}, {"label": "x" * 1001}, {"numbers": [1.0] * 1001}):
            with pytest.raises(InvalidInput, match=r"loose\.\w+ must"):
                Loose(**cast(Any, values))
    finally:
        INTERVENTIONS.remove("loose")


def test_bounds_with_no_number_between_them_are_refused() -> None:
    for bounds in ({"low": 2, "high": 1}, {"above": 3, "high": 2}, {"low": math.nan}):
        with pytest.raises(InvalidInput, match="no number is within the bounds"):
            hyperparameter(1, "steps", **bounds)
    with pytest.raises(InvalidInput, match="low must be a number, but got 'a'"):
        hyperparameter(1, "steps", low=cast(Any, "a"))


def test_a_composition_is_made_of_at_most_a_hundred_interventions() -> None:
    step = make("ft")
    assert len(Composition([step] * 100)) == 100
    for steps in ([step] * 101, [5], 5, "ft", ["ft"], [None], (make("ft") for _ in range(10**9))):
        with pytest.raises(InvalidInput, match=r"composition (may have 100|is made of|must be an)"):
            Composition(cast(Any, steps))
