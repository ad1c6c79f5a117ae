"""OpenAI's first GPT, whose blocks give lists, and Reformer, whose give names."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from interventions.anatomy import blocks
from interventions.base import make
from interventions.errors import InvalidInput
from interventions.feeders import BlockReaders
from interventions.lm import LM
from interventions.one_by_one import check_one_by_one
from interventions.partial_pass import block_calls, hidden_states
from tests.anatomies.texts import sentences, tiny_data
from tests.interventions.families import family, family_skeleton


@pytest.fixture
def gpt() -> LM:
    return family("gpt")


@torch.no_grad()
def test_the_states_of_a_list_are_its_first(gpt: LM) -> None:
    encoded = gpt.encode(sentences(3, seed=7))
    plain: Any = gpt.model(**encoded, output_hidden_states=True).hidden_states
    states, calls = next(block_calls(gpt.model, [encoded]))
    for layer, block in enumerate(blocks(gpt.model)):
        readers = BlockReaders(block)
        readers.note_call(block, (states, *calls[layer].args), calls[layer].kwargs)
        assert torch.equal(readers._output(), plain[layer + 1])
        assert torch.equal(hidden_states(gpt.model, encoded, layer), plain[layer + 1])
        states = calls[layer](block, states)


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("awq", {"bits": 3, "group": 32}),
        ("wanda", {"sparsity": 0.5}),
        ("rmu", {"layer": 2, "steps": 2, "batch": 2}),
    ],
)
def test_a_method_changes_weights_of_a_model_whose_blocks_give_lists(
    gpt: LM, method: str, values: dict[str, Any]
) -> None:
    before = {name: weight.clone() for name, weight in gpt.model.named_parameters()}
    make(method, **values).check(gpt.model)
    make(method, **values).apply(gpt, tiny_data())
    changed = {
        name.rpartition(".h.")[2]
        for name, weight in gpt.model.named_parameters()
        if not torch.equal(weight, before[name])
    }
    writers = {f"{layer}.mlp.c_proj.weight" for layer in range(3)}
    assert changed == writers if method == "rmu" else changed > writers


def test_a_model_that_reads_its_blocks_outputs_by_names_is_refused_on_the_skeleton() -> None:
    with pytest.raises(InvalidInput, match="is not hidden states, but has names"):
        check_one_by_one(family_skeleton("reformer"))


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("awq", {"group": -1}),
        ("gptq", {"group": -1}),
        ("sparsegpt", {}),
        ("wanda", {}),
        ("wanda", {"allocation": "owl"}),
        ("magnitude", {"allocation": "owl"}),
    ],
)
def test_what_runs_the_blocks_one_by_one_asks_whether_they_can_be_before_a_run(
    method: str, values: dict[str, Any], gpt: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = make(method, **values)
    checked: list[object] = []
    monkeypatch.setattr(sys.modules[type(step).__module__], "check_one_by_one", checked.append)
    step.check(gpt.model)
    assert checked == [gpt.model]
