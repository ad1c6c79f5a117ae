"""What a tuner may try: values near a default, and consecutive layers."""

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import PreTrainedModel

from interventions.base import INTERVENTIONS, tunable
from interventions.compression.wanda import Wanda
from interventions.data import testbed
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.editing.ft import FT
from interventions.editing.lora import LoRA
from interventions.lm import skeleton
from interventions.search_space import TuningContext, consecutive


class Bounds:
    """A trial that gives the lowest or the highest value, and notes what was asked."""

    def __init__(self, highest: bool) -> None:
        self.highest = highest
        self.ranges: dict[str, tuple[float, float, bool]] = {}
        self.choices: dict[str, tuple[Any, ...]] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.ranges[name] = (low, high, log)
        return high if self.highest else low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.ranges[name] = (low, high, log)
        return high if self.highest else low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.choices[name] = tuple(choices)
        return choices[-1 if self.highest else 0]


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return skeleton(MODEL)


def test_a_context_knows_its_layers_texts_and_defaults(model: PreTrainedModel, small: Data) -> None:
    context = TuningContext(model, small)
    assert (context.layers, context.texts("forget"), context.texts("retain")) == (6, 8, 16)
    assert context.default(Wanda, "sparsity") == 0.5
    assert TuningContext(model, small, "paper").default(Wanda, "sparsity") == 0.25


def test_values_around_a_default_are_even_on_the_logarithm(
    model: PreTrainedModel, small: Data
) -> None:
    context, trial = TuningContext(model, small), Bounds(highest=True)
    rate, steps = context.default(FT, "lr"), context.default(FT, "steps")
    assert context.around(trial, FT, "lr", 10, 4) == rate * 4
    assert trial.ranges["lr"] == (rate / 10, rate * 4, True)
    assert context.around(trial, FT, "steps", 4, 2) == steps * 2
    assert trial.ranges["steps"] == (steps // 4, steps * 2, True)
    assert type(context.around(trial, FT, "steps", 4, 2)) is int


def test_an_integer_around_a_default_is_at_least_one(model: PreTrainedModel, small: Data) -> None:
    context, trial = TuningContext(model, small), Bounds(highest=False)
    assert context.around(trial, FT, "steps", 1e6, 2) == 1


@pytest.mark.parametrize(
    ("last", "count", "layers"), [(0, 1, (0,)), (0, 5, (0,)), (5, 5, (1, 2, 3, 4, 5)), (3, 1, (3,))]
)
def test_consecutive_layers_end_at_the_last_and_begin_at_the_first_block(
    model: PreTrainedModel, small: Data, last: int, count: int, layers: tuple[int, ...]
) -> None:
    class Fixed(Bounds):
        def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
            super().suggest_int(name, low, high, log=log)
            return {"layers.last": last, "layers.count": count}[name]

    trial = Fixed(highest=True)
    assert consecutive(trial, TuningContext(model, small)) == layers
    assert trial.ranges == {"layers.last": (0, 5, False), "layers.count": (1, 5, False)}


def test_no_more_layers_are_consecutive_than_there_are(model: PreTrainedModel, small: Data) -> None:
    trial = Bounds(highest=True)
    context = TuningContext(model, small)
    assert consecutive(trial, context, field="blocks", most=99) == (0, 1, 2, 3, 4, 5)
    assert trial.ranges["blocks.count"] == (1, 6, False)
    assert consecutive(Bounds(highest=False), context) == (0,)


Range = tuple[float, float, bool]
LAYERS: dict[str, Range] = {"layers.last": (0, 5, False), "layers.count": (1, 5, False)}
BITS: dict[str, Range] = {"bits": (2, 8, False)}
SPARSITY: dict[str, Range] = {"sparsity": (0.1, 0.9, False)}
NPO: dict[str, Range] = {
    "lr": (1e-3 / 30, 1e-2, True),
    "beta": (0.01, 10, True),
    "steps": (15, 240, True),
    "retain_weight": (0.1, 100, True),
    "last_layers": (1, 6, False),
}
# for the testbed: its model has 6 layers, its data 800 texts to forget; True: on the logarithm
RANGES: dict[str, dict[str, Range]] = {
    "awq": BITS,
    "ft": {**LAYERS, "lr": (0.0001, 0.01, True), "steps": (17, 140, True)},
    "ga": {"lr": (1e-5, 3e-3, True), "samples": (8, 800, True), "last_layers": (1, 6, False)},
    "gd": {
        "lr": (1e-3 / 30, 1e-2, True),
        "samples": (8, 800, True),
        "retain_weight": (0.1, 100, True),
        "retain_batch": (4, 64, True),
        "last_layers": (1, 6, False),
    },
    "gptq": {**BITS, "damp": (0.001, 0.1, True)},
    "lora": {
        "rank": (2, 32, True),
        "alpha": (4, 64, True),
        "lr": (1e-4, 1e-2, True),
        "steps": (10, 80, True),
    },
    "magnitude": SPARSITY,
    "memit": {
        **LAYERS,
        "steps": (20, 120, True),
        "lr": (0.1, 1.6, True),
        "covariance": (10, 4000, True),
    },
    "alphaedit": {
        **LAYERS,
        "steps": (20, 120, True),
        "lr": (0.1, 1.6, True),
        "clamp": (0.1875, 3, True),
        "threshold": (0.01, 4, True),
        "ridge": (0.2, 80, True),
    },
    "finetune": {"lr": (1e-3 / 30, 1e-2, True), "steps": (5, 160, True)},
    "npo": {**NPO, "steps": (25, 400, True)},
    "simnpo": {**NPO, "beta": (0.05, 10, True), "steps": (22, 360, True)},
    "rmu": {
        "layer": (2, 5, False),
        "steering": (50, 3200, True),
        "alpha": (1, 10_000, True),
        "steps": (50, 400, False),
        "lr": (5e-4, 2e-2, True),
    },
    "merge": {"weights": (0.1, 2.0, False)},
    "hqq": {**BITS, "norm": (0.4, 1.0, False), "beta": (1, 100, True)},
    "rtn": BITS,
    "sparsegpt": {**SPARSITY, "damp": (0.001, 0.1, True)},
    "wanda": SPARSITY,
}
SWITCHES = {
    "awq": ("symmetric", "clip"),
    "gptq": ("symmetric", "act_order"),
    "rtn": ("symmetric",),
}
CHOICES = {"merge": {"how": ("linear", "ties", "dare")}}


def test_every_method_is_tunable() -> None:
    assert set(RANGES) == set(tunable())


@pytest.mark.parametrize("name", RANGES)
def test_every_hyperparameter_is_drawn_from_its_range(name: str, model: PreTrainedModel) -> None:
    context = TuningContext(model, testbed.testbed())
    for highest in (False, True):
        trial = Bounds(highest)
        values = INTERVENTIONS.get(name).suggest(trial, context)
        assert list(trial.ranges) == list(RANGES[name])
        for field, (low, high, is_logarithmic) in RANGES[name].items():
            assert trial.ranges[field][:2] == pytest.approx((low, high)), field
            assert trial.ranges[field][2] is is_logarithmic, field
        switches = dict.fromkeys(SWITCHES.get(name, ()), (False, True))
        assert trial.choices == {**switches, **CHOICES.get(name, {})}
        drawn = {field.partition(".")[0] for field in (*trial.ranges, *trial.choices)}
        assert set(values) == drawn


def test_no_more_texts_are_forgotten_than_2000_nor_than_there_are(
    model: PreTrainedModel, small: Data
) -> None:
    for count in (8, 1999, 2000, 2001):
        data = dataclasses.replace(small, forget=("a text",) * count)
        for name in ("ga", "gd"):
            trial = Bounds(highest=True)
            INTERVENTIONS.get(name).suggest(trial, TuningContext(model, data))
            assert trial.ranges["samples"] == (8, min(count, 2000), True)


@pytest.mark.parametrize(
    ("most", "plain", "adaptive"), [(23, 23, 15), (32, 32, 21), (64, 32, 32), (2, 2, 2)]
)
def test_a_rank_is_tried_up_to_that_of_the_layers_or_two_thirds_of_it_for_adalora(
    most: int,
    plain: int,
    adaptive: int,
    model: PreTrainedModel,
    small: Data,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    targets = SimpleNamespace(greatest_rank=most)
    monkeypatch.setattr("interventions.editing.lora.find_targets", lambda model, names: targets)
    contexts = (TuningContext(model, small), TuningContext(model, small, "paper"))
    for context, highest in zip(contexts, (plain, adaptive), strict=True):
        trial = Bounds(highest=True)
        LoRA.suggest(trial, context)
        assert trial.ranges["rank"] == (2, highest, True)
