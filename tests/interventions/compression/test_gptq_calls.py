"""What GPTQ asks of the sweep and of other people's code."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from interventions.compression import gptq, obs
from interventions.compression.gptq import GPTQ
from interventions.data.base import Data
from tests.interventions.compression.noted_calls import note_calls


def test_inputs_of_equal_activation_are_swept_from_left_to_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So many that a sort that is not stable would mix them."""
    orders: list[Tensor | None] = []

    def note(
        weights: list[Tensor], gram: Tensor, settle: object, damp: float, order: Tensor | None
    ) -> list[Tensor]:
        orders.append(order)
        return weights

    monkeypatch.setattr(obs, "sweep_columns", note)
    diagonal = torch.tensor([2.0, 3.0]).repeat_interleave(2048)
    weights, gram = [torch.ones(1, 4096)], diagonal.expand(4096, 4096)
    GPTQ(group=-1).quantize(weights, gram)
    GPTQ(group=-1, act_order=False).quantize(weights, gram)
    assert orders[0] is not None and orders[1] is None
    assert orders[0].tolist() == [*range(2048, 4096), *range(2048)]


@pytest.mark.parametrize("backend", ["gptqmodel", "llmcompressor"])
def test_a_backend_gets_the_first_texts_and_every_field_that_it_knows(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = note_calls(monkeypatch, "gptqmodel.gptq", "llmcompressor.compress")
    step = GPTQ(
        bits=4,
        group=32,
        symmetric=True,
        act_order=False,
        static_groups=True,
        true_sequential=False,
        damp=0.25,
        samples=2,
        backend=cast(Any, backend),
    )
    lm: Any = object()
    assert step.apply(lm, Data("none", calibration=("a", "b", "c"))) is lm
    settings: dict[str, Any] = {"bits": 4, "group": 32}
    settings |= {"symmetric": True, "act_order": False, "damp": 0.25}
    if backend == "gptqmodel":
        settings |= {"static_groups": True, "true_sequential": False}
    else:
        settings |= {"method": "gptq"}
    assert calls == [(lm, ["a", "b"], settings)]


def test_a_block_whose_layers_lie_on_such_grids_already_is_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pending: dict[str, dict[str, str]] = {"first": {}, "second": {"q": "1.q"}}
    statistics: list[object] = []
    blocks = [(name, f"run {name}") for name in pending]
    monkeypatch.setattr(gptq, "calibrated_blocks", lambda lm, texts: blocks)
    monkeypatch.setattr(gptq, "layers_to_quantize", lambda lm, block, bits, group: pending[block])
    monkeypatch.setattr(gptq, "linears", lambda block: [])
    monkeypatch.setattr(gptq, "input_statistics", lambda observe: observe)
    monkeypatch.setattr(
        gptq, "stage_statistics", lambda observe, names: [(observe, names), "another stage"]
    )
    monkeypatch.setattr(gptq, "by_inputs", lambda seen, change: statistics.append(seen))
    lm: Any = object()
    for true_sequential in (False, True):
        GPTQ(true_sequential=true_sequential).apply(lm, Data("none", calibration=("a",)))
    assert statistics == ["run second", ("run second", {"q": "1.q"}), "another stage"]


def test_of_layers_with_the_same_inputs_those_are_quantized_that_lie_on_no_grid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[object, ...]] = []

    def quantize(step: GPTQ, weights: list[Any], gram: Any) -> list[tuple[str, str]]:
        calls.append((weights, gram))
        return [(f"grid of {weight}", f"rounded {weight}") for weight in weights]

    monkeypatch.setattr(GPTQ, "quantize", quantize)
    layers: Any = {name: SimpleNamespace(weight=name.upper()) for name in "qkv"}
    lm: Any = SimpleNamespace(quantize=lambda *arguments: calls.append(arguments))
    pending, inputs = {"v": "1.v", "q": "1.q"}, cast(Any, SimpleNamespace(gram="gram"))
    GPTQ()._quantize_layers(lm, layers, pending, ["q", "k", "v"], inputs)
    GPTQ()._quantize_layers(lm, layers, pending, ["k"], inputs)
    assert calls == [
        (["Q", "V"], "gram"),
        ("1.q", "Q", "grid of Q", "rounded Q"),
        ("1.v", "V", "grid of V", "rounded V"),
    ]
