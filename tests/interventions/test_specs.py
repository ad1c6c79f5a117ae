"""Spec strings: what is read, and what is said of those that cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interventions.base import make
from interventions.composition import Composition
from interventions.compression.wanda import Wanda
from interventions.editing.ft import FT
from interventions.errors import InvalidInput
from interventions.specs import calls, sweep


@pytest.mark.parametrize(
    "text",
    [
        *("none", "lora", "lora | wanda(sparsity=0.25)", "ft(layers=(1, 2)) | ga | lora"),
        "merge(lora | ft(layers=(1, 2)), rmu)",
        "wanda | merge(lora, merge(ft, ga | rmu, how='ties'), weights=(1, -0.5)) | rtn",
    ],
)
def test_text_and_composition_are_one(text: str) -> None:
    assert Composition.parse(Composition.parse(text).spec()) == Composition.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wnda", "no intervention is named 'wnda'. Did you mean 'wanda'"),
        ("wanda(sparsty=0.5)", "wanda has no hyperparameter 'sparsty'. Did you mean 'sparsity'"),
        ("wanda(sparsity='a')", "wanda.sparsity must be a number, but got 'a'"),
        ("wanda(sparsity=25)", "wanda.sparsity must be at least 0 and less than 1, but got 25"),
        ("wanda(sparsity=[0.25, 0.5])", "which means a sweep"),
        ("wanda(0.5)", "wanda takes key=value only, but got '0.5'"),
        ("wanda(lora, 0.5)", "wanda takes key=value only, but got 'lora'"),
        ("merge", "before it, such as merge(lora | ft, rmu), but got none"),
        ("merge(how='ties')", "takes two or more branches"),
        ("merge(ft)", "merge.branches must be 2 to 10 compositions, such as"),
        (f"merge({', '.join(['ft'] * 11)})", "such as merge(lora | ft, rmu), but got 11: ('ft'"),
        ("merge(ft, none)", "merge.branches must be compositions of at least one step, but got"),
        ("merge(ft, wnda)", "merge.branches, in 'wnda': no intervention is named 'wnda'. Did you"),
        ("merge(ft, wanda(sparsity=25))", "wanda.sparsity must be at least 0 and less than 1"),
        ("merge(ft, wanda(sparsity=[0.1, 0.2]))", "which means a sweep"),
        ("merge(ft, 5)", "cannot read '5'"),
        ("merge(*ft, rmu)", "merge.branches, in '*ft': cannot read"),
        ("merge(ft, rmu, branches=('ft', 'rmu'))", "merge.branches is given twice"),
        ("merge(branches=('ft', 3))", "must be two or more compositions, such as"),
        ("merge(branches='ft')", "must be two or more compositions, such as"),
        ("merge(ft, rmu, weights=(1, 2, 3))", "must be one number, or 2, one for each branch"),
        ("merge(ft, rmu, how='tie')", "merge.how must be one of 'linear', 'ties', 'dare'"),
        ("merge(ft, rmu, density=0.3)", "merge.density is of how='ties', but how is 'linear'"),
        ("merge(ft, rmu, how='ties', drop=0.3)", "merge.drop is of how='dare', but how is 'ties'"),
        ("merge(ft, rmu, how='dare', drop=1)", "merge.drop must be at least 0 and less than 1"),
        ("wanda(samples=1.5)", "wanda.samples must be an integer, but got 1.5"),
        ("lora(adaptive=1)", "lora.adaptive must be True or False, but got 1"),
        ("wanda(sparsity=__import__('os'))", "must be a plain value"),
        ("lora |", "cannot read 'lora |'"),
        ("lora + wanda", "cannot read 'lora + wanda'"),
        ("wanda(sparsity=1e999)", "wanda.sparsity must be"),
        ("wanda(**{'sparsity': 0.5})", "takes key=value only"),
    ],
)
def test_bad_text_gets_one_line_that_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        Composition.parse(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@given(st.floats(0, 0.99), st.integers(1, 999))
def test_any_valid_values_read_back(sparsity: float, samples: int) -> None:
    step = Wanda(sparsity=sparsity, samples=samples)
    assert Composition.parse(str(step)) == Composition([step])


def test_a_composition_is_read_from_left_to_right_without_making_anything() -> None:
    assert calls("lora | wanda(sparsity=25) | nobody(a='b', c=(1, 2))") == [
        ("lora", {}), ("wanda", {"sparsity": 25}), ("nobody", {"a": "b", "c": (1, 2)})
    ]  # fmt: skip
    assert calls(" none ") == calls("None") == calls("none | None") == []


def test_a_list_means_one_intervention_of_each_value_the_last_field_fastest() -> None:
    assert sweep("ft(layers=[1, (2, 3)]); wanda(sparsity=[0.25, 0.5], samples=[8, 16])") == [
        FT(layers=(1,)), FT(layers=(2, 3)),
        Wanda(sparsity=0.25, samples=8), Wanda(sparsity=0.25, samples=16),
        Wanda(sparsity=0.5, samples=8), Wanda(sparsity=0.5, samples=16),
    ]  # fmt: skip
    assert sweep("wanda;", "paper") == [make("wanda", "paper")]


def test_semicolons_are_of_a_sweep_and_not_of_a_composition() -> None:
    assert sweep("; ft ;") == [FT()]
    for text in ("ft;", "; ft"):
        with pytest.raises(InvalidInput, match=f"cannot read '{text}': write a spec such as"):
            calls(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no intervention is named in ''"),
        ("ft; ft", "ft is named twice in 'ft; ft'"),
        ("wanda(sparsity=[0.5, 0.50])", "wanda(sparsity=0.5) is named twice"),
        ("wanda(sparsity=[])", "'wanda(sparsity=[])' in 'wanda(sparsity=[])' has an empty list"),
        ("import os", "cannot read 'import os' in 'import os': write name or name(key=value)"),
        ("ft; 3", "cannot read '3' in 'ft; 3'"),
        ("ft(", "cannot read 'ft(': write a list such as"),
        ("merge", "merge takes two or more branches, compositions that start from the model"),
    ],
)
def test_a_bad_sweep_gets_one_line_that_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        sweep(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
