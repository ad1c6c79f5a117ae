"""The weight matrices of blocks, against the zoo's own list of them."""

import re
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)
from transformers.pytorch_utils import Conv1D

from interventions.anatomy import block_linears, linears
from interventions.text_model import blocks
from interventions.weight_matrix import (
    WeightMatrix,
    is_fused_experts,
    unknown_matrices,
    weight_matrices,
)
from tests.anatomies.references import matrices
from tests.anatomies.zoo import ANATOMIES


@pytest.mark.parametrize("name", ANATOMIES)
def test_the_matrices_of_the_blocks_are_all_but_routers_norms_and_biases(name: str) -> None:
    """Reference: the zoo's list, made of the parameters' names and shapes."""
    model = ANATOMIES[name].model()
    expected = {
        # an expert's number stands before its matrix's name in ours
        re.sub(r"experts\.(\w+)\.(\d+)$", r"experts.\2.\1", path): matrix
        for path, matrix in matrices(model, ANATOMIES[name]).items()
    }
    ours = block_linears(model)
    assert list(ours) == sorted(ours, key=lambda path: int(path.partition(".")[0]))
    assert set(ours) == set(expected)
    for path, matrix in ours.items():
        view = expected[path].view
        assert matrix.weight.data_ptr() == view.data_ptr()
        assert matrix.weight.stride() == view.stride()
        assert (matrix.out_features, matrix.in_features) == view.shape
        assert matrix.parameter is expected[path].parameter


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "gpt-oss"])
@torch.no_grad()
def test_a_change_of_a_matrix_in_place_changes_the_model(name: str) -> None:
    model = ANATOMIES[name].model()
    for matrix in block_linears(model).values():
        matrix.weight.mul_(0)
    parameters = {
        id(matrix.parameter): matrix.parameter for matrix in block_linears(model).values()
    }
    assert not any(bool(parameter.any()) for parameter in parameters.values())
    untouched = [p for p in model.parameters() if id(p) not in parameters]
    assert all(bool(parameter.any()) for parameter in untouched)


def test_a_linear_layers_matrix_is_its_parameter_itself() -> None:
    layer = nn.Linear(2, 3)
    matrix = WeightMatrix(layer)
    assert matrix.weight is layer.weight is matrix.parameter and matrix.bias is layer.bias
    assert WeightMatrix(nn.Linear(2, 3, bias=False)).bias is None
    assert matrix == WeightMatrix(layer) and matrix != WeightMatrix(nn.Linear(2, 3))


@pytest.mark.parametrize("kind", ["linear", "conv1d", "expert"])
@torch.no_grad()
def test_a_weight_that_is_set_or_added_to_is_the_models(kind: str) -> None:
    experts = blocks(ANATOMIES["gpt-oss"].model())[0].get_submodule("mlp.experts")
    held: Any = {
        "linear": (nn.Linear(2, 3),),
        "conv1d": (Conv1D(3, 2), "weight", None, True),
        "expert": (experts, "down_proj", 1, True),
    }[kind]
    matrix = WeightMatrix(*held)
    before = matrix.weight.clone()
    matrix.weight += 1
    assert torch.equal(WeightMatrix(*held).weight, before + 1)
    matrix.weight = torch.full_like(before, 7.0)
    assert bool((WeightMatrix(*held).weight == 7).all())
    assert isinstance(matrix.parameter, nn.Parameter)


def test_outputs_are_inputs_times_the_matrix_and_its_bias_whatever_holds_it() -> None:
    inputs = torch.randn(5, 4)
    conv = Conv1D(3, 4)
    nn.init.normal_(conv.bias)
    matrix = WeightMatrix(conv, transposed=True)
    torch.testing.assert_close(F.linear(inputs, matrix.weight, matrix.bias), conv(inputs))
    experts = dict(linears(blocks(ANATOMIES["gpt-oss"].model())[0]))
    second = experts["mlp.experts.2.gate_up_proj"]
    assert second.bias is not None and second.expert == 2
    expected = second.module.gate_up_proj_bias[2]  # type: ignore[index]
    assert torch.equal(second.bias, expected)
    mixtral = dict(linears(blocks(ANATOMIES["mixtral"].model())[0]))
    assert mixtral["mlp.experts.0.down_proj"].bias is None


def test_a_shared_experts_matrices_count_and_its_gate_does_not() -> None:
    config = Qwen2MoeConfig(num_hidden_layers=1, num_experts=2)
    with torch.device("meta"):
        model = Qwen2MoeForCausalLM(config)
    names = list(block_linears(model))
    assert [name for name in names if "shared" in name] == [
        f"0.mlp.shared_expert.{part}_proj" for part in ("gate", "up", "down")
    ]
    assert len(names) == 4 + 2 * 2 + 3


def test_routers_are_left_out_only_beside_experts() -> None:
    """Old models' own code has lists of experts, and linear layers as routers."""

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(4, 2)
            self.experts = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    class SwitchRouter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = nn.Linear(4, 2)

    block = nn.ModuleDict({"moe": Mixture(), "gate": nn.Linear(4, 4), "mlps": nn.ModuleList()})
    block["moe"].switch = SwitchRouter()
    assert [name for name, _ in weight_matrices(block)] == [
        "moe.experts.0",
        "moe.experts.1",
        "gate",
    ]
    assert list(unknown_matrices(block)) == []


@pytest.mark.parametrize("kind", ["granitemoe", "phimoe", "ernie4_5_moe", "cohere2_moe", "afmoe"])
def test_routers_are_told_from_experts_in_other_families(kind: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind))
    block = blocks(model)[-1]
    counted = {id(matrix.parameter) for _, matrix in linears(block)}
    apart = [n for n, p in block.named_parameters() if p.dim() > 1 and id(p) not in counted]
    assert apart and all("router" in name or ".gate." in name for name in apart)
    assert list(unknown_matrices(block)) == []


def test_norms_of_heads_are_no_matrices_and_anything_else_is_unknown() -> None:
    class PerHeadNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 3))

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decay = nn.Parameter(torch.ones(2, 3))
            self.bias = nn.Parameter(torch.ones(3))

    block = nn.ModuleDict({"q_norm": PerHeadNorm(), "mixer": Mixer(), "conv": nn.Conv1d(2, 3, 1)})
    assert [name for name, _ in unknown_matrices(block)] == ["mixer.decay", "conv.weight"]
    assert list(weight_matrices(block)) == []


@pytest.mark.parametrize("config", [LoraConfig(r=2), AdaLoraConfig(init_r=2, total_step=3)])
def test_adapters_do_not_count_while_they_are_trained(config: LoraConfig) -> None:
    model = ANATOMIES["qwen3"].model()
    names = list(block_linears(model))
    config.target_modules = {"down_proj"}
    adapted = get_peft_model(model, config)
    assert list(block_linears(adapted)) == names


class Experts(nn.Module):
    """Experts in parameters of three dimensions, as transformers describes them, and their bias."""

    has_gate, has_bias, is_transposed, is_concatenated = False, True, False, True

    def __init__(self) -> None:
        super().__init__()
        self.up_proj = nn.Parameter(torch.ones(2, 4, 3))
        self.up_proj_bias = nn.Parameter(torch.ones(2, 4))
        self.down_proj = nn.Parameter(torch.ones(2, 3, 4))


def test_only_what_has_every_fact_of_fused_experts_is_taken_for_them() -> None:
    experts = Experts()
    block = nn.ModuleDict({"experts": experts, "table": nn.Module()})
    assert not is_fused_experts(experts) and not list(weight_matrices(block))
    experts.register_buffer("_apply_gate", None)
    assert is_fused_experts(experts)
    assert [(name, tuple(matrix.weight.shape)) for name, matrix in weight_matrices(block)] == [
        ("experts.0.up_proj", (4, 3)),
        ("experts.0.down_proj", (3, 4)),
        ("experts.1.up_proj", (4, 3)),
        ("experts.1.down_proj", (3, 4)),
    ]
    assert [name for name, _ in unknown_matrices(block)] == []
    # a bias of two dimensions of anything else is no expert's
    block["table"].register_parameter("row_bias", nn.Parameter(torch.ones(2, 3)))
    assert [name for name, _ in unknown_matrices(block)] == ["table.row_bias"]
