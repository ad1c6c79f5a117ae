"""LoRA's targets on every anatomy, by name and by what they do."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import transformers
from peft import get_peft_model
from peft.tuners.lora.layer import ParamWrapper
from torch import nn
from transformers.pytorch_utils import Conv1D

from interventions import lora_targets
from interventions.anatomy import blocks
from interventions.composition import apply
from interventions.editing.lora import LoRA
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.lora_targets import Targets, _is_taken_for_experts, find_targets
from interventions.low_rank import merged
from interventions.weight_matrix import WeightMatrix
from tests.anatomies.texts import tiny_data
from tests.anatomies.tokenizers import tokenizer
from tests.anatomies.zoo import ANATOMIES

KEY = "fedcba9876543210" * 2
QUERY_VALUE = {
    "llama": ("self_attn.q_proj", "self_attn.v_proj"),
    "gpt2": ("attn.c_attn",),
    "gpt-neox": ("attention.query_key_value",),
    "phi": ("self_attn.q_proj", "self_attn.v_proj"),
    "phi3": ("self_attn.qkv_proj",),
    "mpt": ("attn.Wqkv",),
    "gemma3": ("self_attn.q_proj", "self_attn.v_proj"),
    "mixtral": ("self_attn.q_proj", "self_attn.v_proj"),
}
MLP = {
    "llama": ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    "gpt2": ("mlp.c_fc", "mlp.c_proj"),
    "gpt-neox": ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    "phi3": ("mlp.gate_up_proj", "mlp.down_proj"),
    "opt": ("fc1", "fc2"),
    "gemma3": ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
}


def small_lm(name: str, dtype: torch.dtype = torch.float32) -> LM:
    words = tokenizer("bytes+bos")
    words.pad_token = words.eos_token
    model: Any = ANATOMIES[name].model().to(dtype)
    return LM(model, words)


@pytest.mark.parametrize(
    ("target", "name", "paths"),
    [
        *(("query_value", name, paths) for name, paths in QUERY_VALUE.items()),
        *(("mlp", name, paths) for name, paths in MLP.items()),
    ],
)
def test_targets_are_found_by_what_they_do(target: str, name: str, paths: tuple[str, ...]) -> None:
    anatomy = ANATOMIES[name]
    targets = find_targets(anatomy.model(), [target])
    expected = {f"{anatomy.blocks}.{index}.{path}" for index in range(3) for path in paths}
    assert set(targets.layers) == expected and not targets.fused
    assert targets.transposed == (name == "gpt2")


@pytest.mark.parametrize("name", ["gpt2", "phi3", "mixtral", "qwen3-moe", "deepseek-v3", "gpt-oss"])
@pytest.mark.parametrize("target", ["mlp", "query_value"])
def test_merged_logits_are_the_unmerged_ones(
    name: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On layers, on Conv1D and on experts' parameters; a router stays as it is."""
    adapted: list[Any] = []

    def seen(model: Any, *args: Any, **kwargs: Any) -> Any:
        adapted.append(get_peft_model(model, *args, **kwargs))
        return adapted[0]

    monkeypatch.setattr("peft.get_peft_model", seen)
    logits: list[torch.Tensor] = []
    lm, ids = small_lm(name), torch.tensor([[7, 30, 41, 22, 60, 300, 9]])

    def noted(step: LoRA, done: int, learner: LM) -> None:
        with torch.no_grad():
            logits.append(learner.model(input_ids=ids).logits)

    monkeypatch.setattr("interventions.editing.lora.report", noted)
    before = small_lm(name).model(input_ids=ids).logits
    merged = apply(LoRA(steps=3, lr=1e-2, targets=(target,)), lm, tiny_data(), KEY)
    assert len(adapted) == 1
    torch.testing.assert_close(merged.model(input_ids=ids).logits, logits[-1], atol=2e-3, rtol=1e-3)
    assert (logits[-1] - before).abs().max() > 0.1


def test_layers_beside_experts_are_adapted_and_not_taken_for_experts() -> None:
    """peft takes "gate_proj" of a DeepSeek for its experts', and drops the shared expert's."""
    original = dict(ANATOMIES["deepseek-v3"].model().named_parameters())
    step = LoRA(steps=2, lr=1e-2, targets=("gate_proj", "o_proj"))
    merged = apply(step, small_lm("deepseek-v3"), tiny_data(), KEY)
    changed = {
        name
        for name, weight in merged.model.named_parameters()
        if not torch.equal(weight, original[name])
    }
    assert changed == {
        *(f"model.layers.{index}.self_attn.o_proj.weight" for index in range(3)),
        "model.layers.0.mlp.gate_proj.weight",
        *(f"model.layers.{index}.mlp.shared_experts.gate_proj.weight" for index in (1, 2)),
    }


@pytest.mark.parametrize("adaptive", [False, True])
def test_bfloat16_is_adapted_in_float32(adaptive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    dtypes: set[torch.dtype] = set()

    def noted(step: LoRA, done: int, learner: LM) -> None:
        dtypes.update(
            weight.dtype for name, weight in learner.model.named_parameters() if "lora_" in name
        )

    monkeypatch.setattr("interventions.editing.lora.report", noted)
    step = LoRA(steps=1, adaptive=adaptive, targets=("query_value",))
    merged = apply(step, small_lm("phi3", torch.bfloat16), tiny_data(), KEY)
    assert dtypes == {torch.float32}
    assert {weight.dtype for weight in merged.model.parameters()} == {torch.bfloat16}


def test_a_change_of_experts_is_added_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """peft rounds the change to the experts' dtype, and then the sum."""
    expected: list[torch.Tensor] = []

    def noted(adapted: Any) -> Any:
        for layer in adapted.modules():
            if isinstance(layer, ParamWrapper) and layer.parameter_name == "down_proj":
                inner = layer.lora_A["default"].weight.unflatten(0, (layer.num_experts, -1))
                outer = layer.lora_B["default"].weight.unflatten(1, (-1, layer.num_experts))
                change = torch.einsum("ore,eri->eoi", outer, inner) * layer.scaling["default"]
                assert change.dtype == torch.float32
                expected.append((layer.get_param().float() + change).bfloat16())
        return merged(adapted)

    monkeypatch.setattr("interventions.editing.lora.merged", noted)
    step = LoRA(steps=2, lr=1e-2, targets=("down_proj",))
    model: Any = apply(step, small_lm("mixtral", torch.bfloat16), tiny_data(), KEY).model
    for block, weight in zip(model.model.layers, expected, strict=True):
        assert torch.equal(block.mlp.experts.down_proj, weight)


@pytest.mark.parametrize("changes", [{"adaptive": True}, {"dropout": 0.1}], ids=str)
def test_what_peft_cannot_do_with_experts_is_refused(changes: dict[str, Any]) -> None:
    for name in ("mixtral", "qwen3-moe"):
        model = ANATOMIES[name].model()
        step = dataclasses.replace(LoRA(), **changes)
        with pytest.raises(
            InvalidInput, match=r"^lora\.\w+=\S+ cannot adapt model\.layers\.0\.mlp\.experts\."
        ):
            step.check(model)
        dataclasses.replace(step, targets=("query_value",)).check(model)


def test_routers_norms_and_heads_are_no_targets() -> None:
    for name in ("gate", "experts", "input_layernorm", "lm_head", "embed_tokens", "0"):
        with pytest.raises(
            InvalidInput, match=r"^lora.targets names .* it has: down_proj, gate_up"
        ):
            LoRA(targets=(name,)).check(ANATOMIES["mixtral"].model())


def test_a_vision_tower_is_not_adapted() -> None:
    """Its layers have the names of the text model's."""
    model = ANATOMIES["gemma3"].model()
    adapted = get_peft_model(model, LoRA(targets=("q_proj",)).config(model))
    names = {name for name, _ in adapted.named_parameters() if "lora_A" in name}
    assert len(names) == len(blocks(model)) and not any("vision" in name for name in names)


@pytest.mark.parametrize("family", ["Qwen2Moe", "Beam"])
def test_a_family_of_experts_without_any_is_adapted(family: str) -> None:
    """Peft would look for fused experts in the place of the dense layers."""
    kind = getattr(transformers, f"{family}Config")
    dense = {"mlp_only_layers": [0, 1]} if family == "Qwen2Moe" else {}
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    config = kind(**sizes, **dense, num_attention_heads=2, num_key_value_heads=2, pad_token_id=0)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    adapted: Any = get_peft_model(model, LoRA(rank=2).config(model))
    learned = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert len(learned) == 2 * 2 * 3  # A and B of three matrices in two blocks


def test_the_greatest_rank_is_the_smaller_side_of_the_largest_matrix() -> None:
    model: Any = ANATOMIES["llama"].model()
    attention = model.model.layers[0].self_attn
    rows, narrow_rows = (len(layer.weight) for layer in (attention.q_proj, attention.v_proj))
    assert narrow_rows < rows == find_targets(model, ["query_value"]).greatest_rank
    assert find_targets(model, ["v_proj"]).greatest_rank == narrow_rows


def test_one_conv1d_makes_targets_transposed() -> None:
    linear = WeightMatrix(nn.Linear(2, 3))
    conv1d = WeightMatrix(Conv1D(3, 2), transposed=True)
    assert Targets({"a": linear, "b": conv1d}, False).transposed
    assert not Targets({"a": linear}, False).transposed


@pytest.mark.parametrize(("name", "is_beside"), [("mixtral", True), ("llama", False)])
def test_layers_are_beside_experts_where_a_block_has_some(
    name: str, is_beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lora_targets, "_is_taken_for_experts", lambda model, layers: False)
    assert find_targets(ANATOMIES[name].model(), ["query_value"]).beside_experts is is_beside


@pytest.mark.parametrize(
    ("names", "is_taken"), [({"up", "down"}, False), ({"up"}, True), (None, True), ("error", True)]
)
def test_layers_are_taken_for_experts_where_peft_renames_or_refuses_them(
    names: Any, is_taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(config: Any, model: Any, adapter: None) -> None:
        if names == "error":
            raise ValueError("no gate beside up")
        config.target_modules = names

    monkeypatch.setattr(
        "peft.utils.transformers_weight_conversion.convert_peft_config_for_transformers", convert
    )
    model: Any = None
    assert _is_taken_for_experts(model, ["up", "down"]) is is_taken
