"""Which weights learn on every anatomy, and how much of a text is read."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from interventions.anatomy import blocks
from interventions.errors import InvalidInput
from interventions.training import block_weights, check_writers, readable, writers
from tests.anatomies.references import is_router
from tests.anatomies.zoo import ANATOMIES

NAMES = ("llama", "gpt2", "gpt-neox", "phi3", "gemma3", "opt", "mixtral", "deepseek-v3")


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {name: ANATOMIES[name].model() for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_the_mlps_writers_learn(models: dict[str, Any], name: str) -> None:
    anatomy, model = ANATOMIES[name], models[name]
    names = {id(parameter): path for path, parameter in model.named_parameters()}
    expected = [
        f"{anatomy.blocks}.{layer}.{path}"
        for layer in (0, 2)
        for path in anatomy.writers
        if any(f"{anatomy.blocks}.{layer}.{path}{end}" in names.values() for end in ("", ".weight"))
    ]
    learned = [names[id(weight)].removesuffix(".weight") for weight in writers(model, (0, 2))]
    assert sorted(learned) == sorted(expected) and len(learned) == len(set(learned)) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_all_of_a_block_learns_but_its_router(models: dict[str, Any], name: str) -> None:
    block = blocks(models[name])[2]
    learned = {id(weight) for weight in block_weights(block)}
    still = {path for path, parameter in block.named_parameters() if id(parameter) not in learned}
    assert still == {path for path, _ in block.named_parameters() if is_router(path)}
    assert bool(still) == (name in ("mixtral", "deepseek-v3"))


def test_a_layer_that_is_not_there_is_refused(models: dict[str, Any]) -> None:
    check_writers(models["llama"], (0, 2), "ft.layers")
    for layers, message in (((3,), "names layer 3, but"), ((1, 1), "names layer 1 twice")):
        with pytest.raises(InvalidInput, match=f"^ft.layers {message}"):
            check_writers(models["llama"], layers, "ft.layers")


def test_experts_of_which_only_one_would_learn_are_refused() -> None:
    def expert() -> nn.ModuleDict:
        return nn.ModuleDict({"up": nn.Linear(4, 6), "down": nn.Linear(6, 4)})

    attention = nn.ModuleDict({"in": nn.Linear(4, 4)})
    mlp = nn.ModuleDict({"experts": nn.ModuleList([expert(), expert()])})
    block = nn.ModuleDict({"attn": attention, "mlp": mlp})
    model: Any = nn.ModuleDict({"layers": nn.ModuleList([block])})
    with pytest.raises(InvalidInput, match=r"^ft.layers names layer 0, whose experts are modules"):
        check_writers(model, (0,), "ft.layers")
    mlp["experts"] = nn.ModuleList([expert()])[0]
    mlp["shared_experts"] = mlp.pop("experts")
    check_writers(model, (0,), "ft.layers")


def test_no_more_tokens_are_read_than_the_model_can(models: dict[str, Any]) -> None:
    assert [readable(models["llama"], tokens) for tokens in (127, 128, 129)] == [127, 128, 128]
    assert readable(ANATOMIES["bloom"].model(), 4096) == 4096  # ALiBi: nothing bounds it
