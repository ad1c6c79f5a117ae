"""Stages of a block's layers, in the order of computation."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from interventions.anatomy import blocks
from interventions.composition import apply
from interventions.compression.calibration import Observe, calibrated_blocks
from interventions.compression.gptq import GPTQ
from interventions.compression.sequential import stage_statistics
from interventions.data.base import Data
from interventions.padding import pads_harmlessly
from interventions.token_taps import See
from tests.interventions.compression.reference import KEY, random_lm, tiny_lm

X, Y, Z = torch.ones(2, 3), torch.full((2, 3), 2.0), torch.full((2, 3), 3.0)


def shown(*batches: Sequence[tuple[str, Tensor]]) -> Observe:
    def observe(see: See) -> None:
        for batch in batches:
            # every batch has tensors of its own, which layers may share
            own = {id(inputs): inputs.clone() for _, inputs in batch}
            for name, inputs in batch:
                see(name, own[id(inputs)])

    return observe


def stages_of(observe: Observe, wanted: set[str] | None = None) -> list[list[str]]:
    names: set[str] = set()
    observe(lambda name, inputs: names.add(name))
    return [list(stage) for stage in stage_statistics(observe, names if wanted is None else wanted)]


def test_layers_that_share_their_inputs_are_a_stage() -> None:
    observe = shown([("q", X), ("k", X), ("o", Y), ("gate", Z), ("up", Z), ("down", X)])
    assert stages_of(observe) == [["q", "k"], ["o"], ["gate", "up"], ["down"]]


def test_numbers_at_the_end_of_a_name_are_no_experts() -> None:
    observe = shown([("mlp.fc1", X), ("mlp.fc2", Y), ("mlp.0", Z), ("mlp.2", X)])
    assert stages_of(observe) == [["mlp.fc1"], ["mlp.fc2"], ["mlp.0"], ["mlp.2"]]


def test_the_experts_layers_of_one_name_are_a_stage_whenever_they_are_first_used() -> None:
    first = [("q", X), ("experts.0.up", Y), ("experts.0.down", Z), ("shared.up", X)]
    second = [
        ("q", X),
        ("experts.0.up", Y),
        ("experts.0.down", Z),
        ("experts.1.up", X),
        ("experts.1.gate", X),
        ("experts.1.down", Y),
        ("shared.up", Z),
    ]
    observe = shown(first, second)
    expected = [
        ["q"],
        ["experts.0.up", "experts.1.up", "experts.1.gate"],
        ["experts.0.down", "experts.1.down"],
        ["shared.up"],
    ]
    assert stages_of(observe) == expected
    tokens = {
        name: inputs.tokens
        for stage in stage_statistics(observe, {name for names in expected for name in names})
        for name, inputs in stage.items()
    }
    assert tokens["experts.0.up"] == tokens["q"] == 4 and tokens["experts.1.down"] == 2


def test_a_stage_without_a_wanted_layer_costs_no_pass() -> None:
    passes: list[str] = []
    observe = shown([("q", X), ("o", Y), ("gate", Z), ("up", Z)])

    def counted(see: See) -> None:
        passes.append("pass")
        observe(see)

    assert [list(stage) for stage in stage_statistics(counted, {"up"})] == [["q"], ["gate", "up"]]
    assert len(passes) == 2


def test_the_inputs_of_a_stage_are_those_after_the_ones_before_it_changed() -> None:
    state = {"o": 1.0, "down": 1.0}

    def observe(see: See) -> None:
        see("q", X)
        see("o", X * state["o"])
        see("down", X * state["down"])

    magnitudes = {}
    for stage in stage_statistics(observe, {"q", "o", "down"}):
        for name, inputs in stage.items():
            magnitudes[name] = float(inputs.magnitude[0])
        state = {"o": state["o"] + 1, "down": state["down"] * 10}
    assert magnitudes == {"q": 1.0, "o": 2.0, "down": 100.0}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Llama", [["q", "k", "v"], ["o"], ["gate", "up"], ["down"]]),
        # attention and MLP read the same norm's outputs, but not one after the other
        ("Phi", [["q", "k", "v"], ["dense"], ["fc1"], ["fc2"]]),
    ],
)
def test_stages_are_those_of_the_model(name: str, expected: list[list[str]], small: Data) -> None:
    lm = tiny_lm(32, 48) if name == "Llama" else random_lm(phi())
    _, observe = next(calibrated_blocks(lm, small.calibration[:3]))
    stages = [
        [layer.rpartition(".")[2].removesuffix("_proj") for layer in stage]
        for stage in stages_of(observe)
    ]
    assert stages == expected


def phi() -> object:
    from transformers import PhiConfig

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    return PhiConfig(vocab_size=2560, num_attention_heads=2, pad_token_id=2, **sizes)


@pytest.mark.parametrize("true_sequential", [False, True])
def test_a_block_is_run_once_a_stage_and_once_for_its_outputs(
    true_sequential: bool, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = tiny_lm(32, 48)
    texts = small.calibration[:2]
    # tried once, so that it is known below
    assert pads_harmlessly(lm, lm.tokenizer(list(texts))["input_ids"])
    calls = []
    handle = blocks(lm.model)[0].register_forward_hook(lambda *args: calls.append(1))
    observed = [observe for _, observe in calibrated_blocks(lm, texts)]
    assert len(observed) == 1
    without = len(calls)
    calls.clear()
    apply(GPTQ(group=8, samples=2, true_sequential=true_sequential), lm, small, KEY)
    handle.remove()
    batches = (len(calls) - without) / (4 if true_sequential else 1)
    assert batches == int(batches) >= 1
