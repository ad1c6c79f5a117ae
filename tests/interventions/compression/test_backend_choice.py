"""Whose code compresses: what is asked of a model before, and what a backend gets."""

import sys
from typing import Any

import pytest

from interventions.base import INTERVENTIONS, make
from interventions.compression.sparsegpt import SparseGPT
from interventions.compression.wanda import Wanda
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import skeleton
from tests.interventions.compression.noted_calls import note_calls

LLM_COMPRESSOR: dict[str, Any] = {"backend": "llmcompressor"}
METHODS: dict[str, dict[str, Any]] = {
    "awq": LLM_COMPRESSOR,
    "gptq": {**LLM_COMPRESSOR, "static_groups": True, "true_sequential": False},
    "sparsegpt": LLM_COMPRESSOR,
    "wanda": LLM_COMPRESSOR,
}


@pytest.mark.parametrize("method", METHODS)
def test_own_code_needs_blocks_that_run_one_by_one_and_a_backend_its_package(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs: list[tuple[object, ...]] = []
    module = sys.modules[INTERVENTIONS.get(method).__module__]
    monkeypatch.setattr(module, "check_one_by_one", lambda *needed: needs.append(needed))
    monkeypatch.setattr(module, "require", lambda *needed: needs.append(needed))
    model = skeleton(MODEL)
    make(method).check(model)
    make(method, **METHODS[method]).check(model)
    assert needs == [(model,), ("llmcompressor", model)]


@pytest.mark.parametrize("method", ["awq", "gptq", "rtn"])
def test_a_group_that_does_not_divide_the_inputs_is_refused(method: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^{method}\.group is 48, which does not divide"):
        make(method, group=48).check(skeleton(MODEL))


def test_llm_compressor_prunes_by_the_first_texts_and_the_fields_that_it_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = note_calls(monkeypatch, "llmcompressor.compress")
    lm: Any = object()
    data = Data("none", calibration=("a", "b", "c"))
    for step in (
        Wanda(pattern="2:4", samples=2, backend="llmcompressor"),
        SparseGPT(pattern="4:8", samples=1, damp=0.25, backend="llmcompressor"),
    ):
        assert step.apply(lm, data) is lm
    by_wanda: dict[str, Any] = {"method": "wanda", "sparsity": 0.5, "pattern": "2:4"}
    by_sparsegpt = {"method": "sparsegpt", "sparsity": 0.5, "pattern": "4:8", "damp": 0.25}
    expected = [(lm, ["a", "b"], by_wanda), (lm, ["a"], by_sparsegpt)]
    assert [(model, list(texts), settings) for model, texts, settings in calls] == expected
