"""What GPTQ asks of the sweep and of other people's code."""

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from interventions.compression import obs
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
