import dataclasses
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interventions.base import Intervention, make
from interventions.composition import Composition, apply, seeded
from interventions.compression.wanda import Wanda
from interventions.data.base import Data
from interventions.editing.ft import FT
from interventions.errors import InvalidInput
from interventions.lm import LM


@pytest.mark.parametrize(
    "text", ["none", "lora", "lora | wanda(sparsity=0.25)", "ft(layers=(1, 2)) | ga | lora"]
)
def test_text_and_composition_are_one(text: str) -> None:
    assert Composition.parse(Composition.parse(text).spec()) == Composition.parse(text)


def test_the_strength_is_always_shown_and_other_defaults_are_not() -> None:
    assert str(Composition.parse("lora | wanda")) == "lora | wanda(sparsity=0.5)"


def test_defaults_follow_the_profile() -> None:
    assert make("wanda").params()["sparsity"] == 0.5
    assert make("wanda", "paper").params()["sparsity"] == 0.25  # paper, Tables 2-4
    assert make("lora", "paper").params()["lr"] == 5e-3  # paper, section C


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wnda", "no intervention is named 'wnda'. Did you mean 'wanda'"),
        ("wanda(sparsty=0.5)", "wanda has no hyperparameter 'sparsty'. Did you mean 'sparsity'"),
        ("wanda(sparsity='a')", "wanda.sparsity must be a number, but got 'a'"),
        ("wanda(sparsity=25)", "wanda.sparsity must be at least 0 and less than 1, but got 25"),
        ("wanda(sparsity=[0.25, 0.5])", "which means a sweep"),
        ("wanda(0.5)", "wanda takes key=value only, but got '0.5'"),
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


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is taken"):

        class Wanda(Intervention, category="compression"):
            def apply(self, lm: LM, data: Data) -> LM:
                return lm


def test_equal_prefixes_share_keys_and_nothing_else_does(data: Data) -> None:
    short, long = (Composition.parse(text).keys("o", data) for text in ("lora", "lora | wanda"))
    assert long[:2] == short
    assert Composition.parse("wanda | lora").keys("o", data)[1:] != long[1:]
    assert Composition.parse("lora").keys("other", data)[0] != short[0]
    assert len(set(long)) == 3


def test_every_field_enters_the_key_and_an_int_is_its_float(data: Data) -> None:
    def key(text: str) -> str:
        return Composition.parse(text).keys("o", data)[-1]

    assert key("wanda(sparsity=0)") == key("wanda(sparsity=0.0)")
    assert key("wanda") == key("wanda(sparsity=0.5)") != key("wanda(samples=64)")


def test_a_key_depends_only_on_the_data_that_the_step_reads(data: Data) -> None:
    other = dataclasses.replace(data, edits=data.edits[:1])
    compression, editing = Composition.parse("wanda"), Composition.parse("lora")
    assert compression.keys("o", data) == compression.keys("o", other)
    assert editing.keys("o", data) != editing.keys("o", other)


def test_the_version_enters_the_key(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Composition([Wanda()]).keys("o", data)
    monkeypatch.setattr(Wanda, "version", Wanda.version + 1)
    assert Composition([Wanda()]).keys("o", data) != before


def test_seeding_leaves_the_state_outside_alone() -> None:
    torch.manual_seed(1)
    random.seed(1)
    expected = torch.rand(1), random.random()
    torch.manual_seed(1)
    random.seed(1)
    with seeded("ab" * 16):
        torch.rand(3), random.random()
    assert (torch.rand(1), random.random()) == expected


@given(st.floats(0, 0.99), st.integers(1, 999))
def test_any_valid_values_read_back(sparsity: float, samples: int) -> None:
    step = Wanda(sparsity=sparsity, samples=samples)
    assert Composition.parse(str(step)) == Composition([step])


def test_recompression_is_measured_not_assumed(lm: LM, small: Data) -> None:
    composition = Composition.parse("wanda | ft")
    for step in composition:
        lm = apply(step, lm, small, "ab" * 16)
    assert composition.recompression(lm, "auto") == Composition([Wanda()])
    assert composition.recompression(lm, "never") == Composition()
    assert composition.recompression(lm, "paper") == Composition([Wanda()])
    lm = apply(Wanda(), lm, small, "ab" * 16)
    assert composition.recompression(lm, "auto") == Composition()
    assert Composition.parse("ft | wanda").recompression(lm, "paper") == Composition()


def test_a_layer_that_the_model_lacks_is_named(lm: LM) -> None:
    with pytest.raises(
        InvalidInput, match=r"ft.layers names layer 17, but the model has layers 0 to 5"
    ):
        FT(layers=(1, 17)).check(lm.model)
