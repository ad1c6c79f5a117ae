"""What a tuner may try: values near a default, and consecutive layers."""

from collections.abc import Sequence
from typing import Any

import pytest
from transformers import PreTrainedModel

from interventions.compression.wanda import Wanda
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.editing.ft import FT
from interventions.lm import skeleton
from interventions.search_space import TuningContext, consecutive


class Bounds:
    """A trial that gives the lowest or the highest value, and notes what was asked."""

    def __init__(self, highest: bool) -> None:
        self.highest = highest
        self.ranges: dict[str, tuple[float, float, bool]] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.ranges[name] = (low, high, log)
        return high if self.highest else low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.ranges[name] = (low, high, log)
        return high if self.highest else low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
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
