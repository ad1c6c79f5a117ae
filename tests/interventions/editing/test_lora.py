"""LoRA and AdaLoRA against peft's unmerged adapters, and on the testbed."""

import dataclasses
from typing import Any

import pytest
import torch
from peft import get_peft_model
from peft.tuners.lora import LoraLayer

from interventions.base import make
from interventions.composition import apply, seeded
from interventions.compression.quantization import fit_grid
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.editing.lora import LoRA, orthogonality
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton
from interventions.low_rank import merged
from tests.interventions.comparison import changed_weights
from tests.interventions.merging.branches import small_lm

KEY = "fedcba9876543210" * 2


@pytest.mark.parametrize("adaptive", [False, True])
def test_loras_merged_logits_are_pefts_unmerged_ones(lm: LM, small: Data, adaptive: bool) -> None:
    """Trained by the loss that peft's model itself returns: AdaLoRA's has its penalty."""
    step = LoRA(steps=4, lr=3e-3, adaptive=adaptive)
    with seeded(KEY):
        adapted = get_peft_model(LM.load(MODEL).model, step.config(lm.model))
        weights = [p for p in adapted.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(weights, lr=step.lr)
        encoded, labels = lm.encode_pairs([(e.prompt, f" {e.target}") for e in small.edits])
        for _ in range(step.steps):
            optimizer.zero_grad()
            adapted(**encoded, labels=labels).loss.backward()
            optimizer.step()
    merged = apply(step, lm, small, KEY)
    with torch.no_grad():
        torch.testing.assert_close(
            merged.model(**encoded).logits, adapted(**encoded).logits, atol=1e-4, rtol=1e-4
        )
    assert not hasattr(merged.model, "peft_config")
    layers = ("gate_proj", "up_proj", "down_proj")
    assert all(name.rpartition(".")[0].endswith(layers) for name in changed_weights(merged))


def test_the_penalty_is_pefts(lm: LM, small: Data) -> None:
    step = LoRA(adaptive=True, targets=("q_proj", "v_proj"))
    adapted = get_peft_model(lm.model, step.config(lm.model))
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    encoded, labels = lm.encode_pairs([(e.prompt, f" {e.target}") for e in small.edits])
    with torch.no_grad():
        losses, counted = LM(adapted, lm.tokenizer).token_losses(encoded, labels)
        expected = adapted(**encoded, labels=labels).loss.item()
        penalty = step.orthogonality * orthogonality(adapted).item()
    assert (losses.sum() / counted.sum()).item() + penalty == pytest.approx(expected, rel=1e-5)
    assert penalty > 1


def test_the_adapters_are_as_large_as_the_fields_say(lm: LM) -> None:
    step = LoRA(rank=3, alpha=12.0, dropout=0.2, targets=("q_proj", "v_proj"), steps=9)
    config = step.config(lm.model)
    assert (config.r, config.lora_alpha, config.lora_dropout) == (3, 12.0, 0.2)
    assert {name.rpartition(".")[2] for name in config.target_modules} == {"q_proj", "v_proj"}
    adaptive = dataclasses.replace(step, adaptive=True).config(lm.model)
    assert (adaptive.lora_alpha, adaptive.lora_dropout) == (12.0, 0.2)
    assert (adaptive.init_r, adaptive.target_r, adaptive.total_step) == (4, 3, 9)
    assert adaptive.orth_reg_weight == 0.5
    # what peft's own defaults are
    paper: Any = make("lora", "paper")
    assert (paper.config(lm.model).init_r, paper.config(lm.model).target_r) == (12, 8)
    assert dataclasses.replace(paper, initial_rank=9).config(lm.model).init_r == 9


@pytest.mark.parametrize(("allocate", "ranks"), [(False, 9 * 12), (True, 6 * 12)])
def test_ranks_are_taken_down_where_asked(lm: LM, small: Data, allocate: bool, ranks: int) -> None:
    """12 layers, from rank 9 each to 6 on average."""
    base = LM.load(MODEL).model.state_dict()
    step = LoRA(rank=6, adaptive=True, allocate=allocate, targets=("q_proj", "v_proj"), steps=6)
    after = apply(step, lm, small, KEY).model.state_dict()
    counted = 0
    for name in after:
        if name.endswith(("q_proj.weight", "v_proj.weight")):
            sizes = torch.linalg.svdvals((after[name] - base[name]).double())
            counted += int((sizes > 1e-5).sum())
    assert counted == ranks


def test_a_merged_weight_has_changed_by_a_matrix_of_the_adapters_rank(lm: LM, small: Data) -> None:
    """LoRA, equation 3: W + (alpha / rank) B A; peft and the grids leave nothing else behind."""
    base = LM.load(MODEL).model.state_dict()
    lm.grids["0.mlp.up_proj"] = fit_grid(base["model.layers.0.mlp.up_proj.weight"], 4, 64, False)
    merged = apply(LoRA(rank=2, steps=8, lr=1e-2, targets=("q_proj",)), lm, small, KEY)
    after = merged.model.state_dict()
    assert set(after) == set(base) and not hasattr(merged.model, "peft_config")
    assert merged.grids is lm.grids
    for layer in range(6):
        name = f"model.layers.{layer}.self_attn.q_proj.weight"
        sizes = torch.linalg.svdvals((after[name] - base[name]).double())
        assert sizes[1] > 1e-3 * sizes[0] > 1e3 * sizes[2], name


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (LoRA(targets=("c_attn",)), r"lora.targets names 'c_attn', .* lacks; it has: .*q_proj"),
        (LoRA(targets=("lm_head",)), r"lora.targets names 'lm_head', which the model lacks"),
        (LoRA(targets=("input_layernorm",)), r"lora.targets names 'input_layernorm', which"),
        (LoRA(rank=129), "lora.rank must be at most 128, the smaller side .*, but got 129$"),
        (
            LoRA(rank=100, adaptive=True),
            "lora.rank must be at most 128, .* got 100, with which AdaLoRA starts at 150$",
        ),
        (
            LoRA(initial_rank=129, adaptive=True),
            "lora.initial_rank must be at most 128, the smaller side .*, but got 129$",
        ),
        (
            LoRA(initial_rank=8, adaptive=True, allocate=True),
            "lora.initial_rank must be greater than lora.rank=8, .* but got 8$",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_refused(step: LoRA, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        step.check(skeleton(MODEL))


def test_what_fits_exactly_is_taken() -> None:
    for step in (LoRA(rank=128), LoRA(initial_rank=129), LoRA(rank=85, adaptive=True)):
        step.check(skeleton(MODEL))


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_change_is_added_in_float32_and_rounded_once(
    small: Data, adaptive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum is that of float32, rounded to bfloat16."""
    step = LoRA(steps=2, lr=1e-2, adaptive=adaptive, targets=("v_proj",))
    lm = LM.load(MODEL, dtype="bfloat16")
    before = [block.self_attn.v_proj.weight.float() for block in lm.model.model.layers]
    changes: list[torch.Tensor] = []

    def noted(adapted: Any) -> Any:
        for layer in adapted.modules():
            if isinstance(layer, LoraLayer):
                changes.append(layer.get_delta_weight("default").detach())
        return merged(adapted)

    monkeypatch.setattr("interventions.editing.lora.merged", noted)
    model = apply(step, lm, dataclasses.replace(small, edits=small.edits[:1]), KEY).model
    assert {change.dtype for change in changes} == {torch.float32}
    for block, weight, change in zip(model.model.layers, before, changes, strict=True):
        assert torch.equal(block.self_attn.v_proj.weight, (weight + change).bfloat16())


def test_editors_edit(data: Data) -> None:
    """Thresholds: the issue's 0.90 for lora; 0.85 and generalization over 0.5 for editors."""
    base = measure(LM.load(MODEL), data, ["edit_success"])
    assert base["edit_success"].value <= 0.10
    for name, least in {"lora": 0.90, "ft": 0.85}.items():
        edited = measure(
            apply(make(name), LM.load(MODEL), data, KEY),
            data,
            ["edit_success", "edit_generalization"],
        )
        assert edited["edit_success"].value >= least, name
        assert edited["edit_generalization"].value > 0.5, name


def test_only_adalora_with_a_weight_on_it_is_penalised() -> None:
    adapted = torch.nn.Module()
    factor = torch.nn.Parameter(2 * torch.eye(2))
    adapted.register_parameter("lora_A", factor)
    for weight in (1.0, 0.25):
        penalty = LoRA(adaptive=True, orthogonality=weight)._penalty(adapted)
        # 2 x 2 - 1 on the diagonal: of norm 3 sqrt(2)
        assert penalty is not None
        assert penalty().item() == pytest.approx(weight * 3 * 2**0.5)
    assert LoRA(adaptive=True, orthogonality=0.0)._penalty(adapted) is None
    assert LoRA(adaptive=False, orthogonality=1.0)._penalty(adapted) is None


def test_fused_experts_are_adapted_without_dropout_only() -> None:
    model = small_lm("mixtral").model
    LoRA(rank=1).check(model)
    with pytest.raises(InvalidInput, match=r"^lora\.dropout=0\.1 cannot adapt .* fused experts"):
        LoRA(rank=1, dropout=0.1).check(model)
