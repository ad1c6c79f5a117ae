"""Experts that are a list of modules: each is called with its tokens alone, or not at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interventions.anatomy import block_linears, blocks
from interventions.composition import Composition, apply
from interventions.compression.calibration import calibrated_blocks, input_statistics
from interventions.feeders import Feeder, feeders
from interventions.lm import LM
from tests.anatomies.texts import sentences, tiny_data
from tests.anatomies.zoo import WIDTH, build
from tests.interventions.compression.reference import KEY, distance

TEXTS = sentences(8, seed=3)
pytestmark = pytest.mark.filterwarnings("ignore:calibration:UserWarning")  # experts seldom seen


class Expert(nn.Module):
    """An MLP with a gate, as Llama's."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(WIDTH, 32, bias=False)
        self.up_proj = nn.Linear(WIDTH, 32, bias=False)
        self.down_proj = nn.Linear(32, WIDTH, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))
        return output


class ListedExperts(nn.Module):
    """Sends each token to one of three experts; the last is never chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, 3, bias=False)
        self.experts = nn.ModuleList(Expert() for _ in range(3))

    def forward(self, hidden_states: Tensor) -> Tensor:
        tokens = hidden_states.flatten(0, 1)
        chosen = self.gate(tokens)[:, :2].argmax(1)
        output = torch.zeros_like(tokens)
        for index, expert in enumerate(self.experts):
            mine = chosen == index
            if bool(mine.any()):
                output[mine] = expert(tokens[mine])
        return output.view_as(hidden_states)


@pytest.fixture
def moe(tmp_path: Path) -> LM:
    """A small Llama whose MLPs are lists of experts."""
    lm = LM.load(build("llama", tmp_path))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for block in blocks(lm.model):
            block.mlp = ListedExperts()
    lm.model.requires_grad_(False)
    return lm


def test_an_experts_inputs_are_its_tokens_of_a_ragged_batch_without_padding(moe: LM) -> None:
    seen: dict[str, list[Tensor]] = {}
    handles = [
        module.register_forward_pre_hook(
            lambda _, args, name=name: seen.setdefault(name, []).append(args[0].flatten(0, -2))
        )
        for name, module in blocks(moe.model)[0].named_modules()
        if isinstance(module, nn.Linear)
    ]
    for text in TEXTS:
        moe.model(**moe.encode([text]), use_cache=False)
    for handle in handles:
        handle.remove()
    _, observe = next(calibrated_blocks(moe, TEXTS))
    statistics = input_statistics(observe)
    experts = [name for name in statistics if "experts" in name]
    assert len(experts) == 9
    for name, inputs in statistics.items():
        if "experts.2" in name:
            assert inputs.tokens == 0 and name not in seen
            continue
        x = torch.cat(seen[name])
        assert inputs.tokens == len(x)
        assert distance(inputs.gram, x.T @ x / len(x)) < 1e-5


@pytest.mark.parametrize(
    "spec",
    [
        "wanda(sparsity=0.5)",
        "sparsegpt(sparsity=0.5)",
        "gptq(bits=3, group=16)",
        "gptq(bits=3, group=16, true_sequential=False)",
        "awq(bits=3, group=16)",
    ],
)
def test_every_expert_is_compressed_also_one_that_saw_no_token(moe: LM, spec: str) -> None:
    (step,) = Composition.parse(spec)
    before = {name: m.weight.clone() for name, m in block_linears(moe.model).items()}
    lm = apply(step, moe, dataclasses.replace(tiny_data(), calibration=TEXTS), KEY)
    assert step.holds(lm)
    for name, matrix in block_linears(lm.model).items():
        assert not torch.equal(matrix.weight, before[name]), name


def test_no_scale_moves_into_an_expert_of_which_the_first_texts_tell_nothing(moe: LM) -> None:
    """A block's output does not change with an expert that is not called: no proof of anything."""
    block = blocks(moe.model)[0]
    with torch.no_grad(), feeders(block) as readers:
        moe.model(**moe.encode([TEXTS[0]]), use_cache=False)
    for index, expected in ((0, True), (2, False)):
        up = block.get_submodule(f"mlp.experts.{index}.up_proj")
        feeder = Feeder(up, torch.arange(32))
        assert readers.scales(feeder, [f"mlp.experts.{index}.down_proj"]) is expected
