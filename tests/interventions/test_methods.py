"""Each method against an independent reference."""

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import get_peft_model
from torch.nn import functional as F

from interventions.anatomy import block_linears, blocks, down_projection, linears
from interventions.base import make
from interventions.composition import apply, seeded
from interventions.compression.calibration import calibrated_blocks
from interventions.compression.wanda import Wanda, mask
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.editing.ft import FT
from interventions.editing.lora import LoRA
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.unlearning.ga import GA, text_loss

KEY = "fedcba9876543210" * 2


def changed(lm: LM) -> set[str]:
    """Names of the weights that differ from the base model's."""
    base = LM.load(MODEL).model.state_dict()
    return {
        name
        for name, tensor in lm.model.state_dict().items()
        if not torch.equal(tensor, base[name])
    }


# wanda


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 33), st.floats(0, 0.99), st.integers(0, 99))
def test_wandas_mask_is_the_papers_equation_1(
    rows: int, inputs: int, sparsity: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, inputs, generator=generator)
    norm = torch.rand(inputs, generator=generator)
    keep = mask(weight, norm, sparsity)
    for i in range(rows):  # reference: float64, one row at a time, from Sun et al. 2024, equation 1
        scores = [
            abs(float(weight[i, j].double())) * float(norm[j].double()) for j in range(inputs)
        ]
        order = sorted(range(inputs), key=lambda j: scores[j])
        lowest = {j for j in order[: int(inputs * sparsity)]}
        assert {j for j in range(inputs) if not keep[i, j]} == lowest


def test_wanda_prunes_the_first_block_by_the_activations_that_a_plain_forward_pass_shows(
    lm: LM, small: Data
) -> None:
    weight = lm.model.model.layers[0].self_attn.q_proj.weight.clone()
    seen: list[torch.Tensor] = []
    handle = lm.model.model.layers[0].self_attn.q_proj.register_forward_hook(
        lambda m, args, out: seen.append(args[0][0])
    )
    with torch.no_grad():
        for text in small.calibration:  # one text at a time: no padding at all
            lm.model(**lm.encode([text]))
    handle.remove()
    norm = torch.cat(seen).double().norm(dim=0)
    pruned = apply(Wanda(sparsity=0.5), lm, small, KEY)
    expected = mask(weight.double(), norm, 0.5)
    kept_alike = (
        expected.eq(pruned.model.model.layers[0].self_attn.q_proj.weight != 0).float().mean()
    )
    assert kept_alike >= 0.999


def test_a_blocks_inputs_come_from_the_changed_blocks_before_it(lm: LM, small: Data) -> None:
    inputs: list[torch.Tensor] = []
    for i, (block, observe) in enumerate(calibrated_blocks(lm, small.calibration)):
        if i == 0:
            for _, linear in linears(block):
                linear.weight.zero_()
        if i == 1:
            observe(lambda name, x: inputs.append(x) if name == "self_attn.q_proj" else None)
    by_length = sorted(small.calibration, key=lambda text: (len(lm.tokenizer.encode(text)), text))
    tokens = lm.encode(by_length)
    embedded = lm.model.get_input_embeddings()(tokens["input_ids"])[tokens["attention_mask"].bool()]
    expected = lm.model.model.layers[1].input_layernorm(embedded)
    torch.testing.assert_close(torch.cat(inputs), expected)


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.75])
def test_wanda_reaches_the_sparsity_asked_for(lm: LM, small: Data, sparsity: float) -> None:
    pruned = apply(Wanda(sparsity=sparsity), lm, small, KEY)
    assert measure(pruned, small, ["sparsity"])["sparsity"].value == pytest.approx(
        sparsity, abs=0.01
    )
    assert Wanda(sparsity=sparsity).holds(pruned)
    assert not Wanda(sparsity=0.9).holds(pruned)
    expected_bits = 16 * (1 - sparsity) + sparsity  # paper, section C
    assert measure(pruned, small, ["average_bits"])["average_bits"].value == pytest.approx(
        expected_bits, abs=0.15
    )


def test_wanda_twice_changes_nothing(lm: LM, small: Data) -> None:
    once = apply(Wanda(), lm, small, KEY).fingerprint()
    assert apply(Wanda(), lm, small, KEY).fingerprint() == once


def test_wanda_keeps_the_outputs_of_a_block_better_than_magnitude(lm: LM, data: Data) -> None:
    """Sun et al. 2024, section 3: the relative squared errors of a block's layers together, at .65."""
    for block, observe in calibrated_blocks(lm, data.calibration[:64]):
        seen: dict[str, list[torch.Tensor]] = {name: [] for name, _ in linears(block)}
        observe(lambda name, x, seen=seen: seen[name].append(x))  # type: ignore[misc]
        wanda, magnitude = 0.0, 0.0
        for name, linear in linears(block):
            x, weight = torch.cat(seen[name]), linear.weight.detach()
            whole = (x @ weight.T).square().sum()
            wanda += float(
                (x @ (weight * ~mask(weight, x.norm(dim=0), 0.65)).T).square().sum() / whole
            )
            magnitude += float(
                (x @ (weight * ~mask(weight, torch.ones(weight.shape[1]), 0.65)).T).square().sum()
                / whole
            )
        assert wanda < magnitude


# losses


def reference_loss(lm: LM, rows: list[tuple[list[int], int]]) -> float:
    """Mean over counted tokens, one unpadded row at a time, in float64: (ids, first counted position)."""
    total, count = 0.0, 0
    for ids, first in rows:
        logits = lm.model(torch.tensor([ids])).logits[0].double()
        for t in range(max(first, 1), len(ids)):
            total -= float(F.log_softmax(logits[t - 1], dim=0)[ids[t]])
            count += 1
    return total / count


def test_the_forget_loss_is_that_of_unpadded_texts(lm: LM, small: Data) -> None:
    texts = small.forget[:5]
    rows = [(lm.tokenizer.encode(text), 0) for text in texts]
    assert len({len(ids) for ids, _ in rows}) > 1  # there is padding to leave out
    assert text_loss(lm, texts, 64).item() == pytest.approx(reference_loss(lm, rows), abs=1e-5)


def test_the_edit_loss_counts_answer_tokens_only(lm: LM, small: Data) -> None:
    pairs = [(edit.prompt, f" {edit.target}") for edit in small.edits]
    encoded, labels = lm.encode_pairs(pairs)
    losses, counted = lm.token_losses(encoded, labels)
    rows = [(lm.tokenizer.encode(p + a), len(lm.tokenizer.encode(p))) for p, a in pairs]
    assert (losses.sum() / counted.sum()).item() == pytest.approx(
        reference_loss(lm, rows), abs=1e-5
    )


def test_one_step_of_ga_is_one_step_up_by_a_plain_optimizer(lm: LM, small: Data) -> None:
    reference = LM.load(MODEL)
    weights = [p.requires_grad_(True) for p in blocks(reference.model)[-1].parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.0)
    per_text, lengths = [], []
    for text in small.forget[:4]:
        ids = torch.tensor([reference.tokenizer.encode(text)])
        logits = reference.model(ids).logits[0, :-1]
        per_text.append(F.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        lengths.append(ids.shape[1] - 1)
    (-torch.stack(per_text).sum() / sum(lengths)).backward()
    optimizer.step()
    stepped = apply(GA(lr=1e-3, samples=4, batch=4, last_layers=1), lm, small, KEY)
    for ours, theirs in zip(blocks(stepped.model)[-1].parameters(), weights, strict=True):
        # Adam's first step is lr x sign(gradient): where the gradient is all but zero, so is its sign's meaning
        assert ((ours - theirs.detach()).abs() < 1e-4).float().mean() > 0.999
    assert (
        changed(stepped)
        == {n for n in changed(stepped) if n.startswith("model.layers.5.")}
        != set()
    )


def test_ft_changes_the_named_down_projections_only(lm: LM, small: Data) -> None:
    assert changed(apply(FT(layers=(1, 4), steps=2), lm, small, KEY)) == {
        f"model.layers.{layer}.mlp.down_proj.weight" for layer in (1, 4)
    }
    assert down_projection(blocks(lm.model)[1]) is lm.model.model.layers[1].mlp.down_proj


def test_ga_refuses_more_layers_than_there_are(lm: LM) -> None:
    with pytest.raises(InvalidInput, match=r"ga.last_layers is 7, but the model has 6 layers"):
        GA(last_layers=7).check(lm.model)


# lora


@pytest.mark.parametrize("adaptive", [False, True])
def test_loras_merged_logits_are_pefts_unmerged_ones(lm: LM, small: Data, adaptive: bool) -> None:
    step = LoRA(steps=5, adaptive=adaptive)
    with seeded(KEY):
        adapted = get_peft_model(LM.load(MODEL).model, step.config())
        weights = [p for p in adapted.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(weights, lr=step.lr)
        encoded, labels = lm.encode_pairs([(e.prompt, f" {e.target}") for e in small.edits])
        for _ in range(step.steps):
            optimizer.zero_grad()
            losses, counted = LM(adapted, lm.tokenizer).token_losses(encoded, labels)
            (losses.sum() / counted.sum()).backward()
            optimizer.step()
    merged = apply(step, lm, small, KEY)
    with torch.no_grad():
        torch.testing.assert_close(
            merged.model(**encoded).logits, adapted(**encoded).logits, atol=1e-4, rtol=1e-4
        )
    assert all(name.rpartition(".")[0].endswith(step.targets) for name in changed(merged))


def test_lora_names_the_targets_that_a_model_has(lm: LM) -> None:
    with pytest.raises(
        InvalidInput, match=r"lora.targets names 'c_attn', which the model lacks; it has: .*q_proj"
    ):
        LoRA(targets=("c_attn",)).check(lm.model)


# on the testbed


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


def test_facts_fall_with_sparsity_mild_at_first_and_under_half_at_the_end(data: Data) -> None:
    levels = [0.25, 0.35, 0.45, 0.55, 0.65, 0.75]
    found = [
        measure(apply(Wanda(sparsity=s), LM.load(MODEL), data, KEY), data, ["edit_locality"])[
            "edit_locality"
        ]
        for s in levels
    ]
    for milder, harsher in itertools.pairwise(found):
        assert harsher.value <= milder.value + 2 * math.hypot(milder.stderr, harsher.stderr)
    assert found[0].value >= 0.90
    assert found[-1].value < 0.5


def test_ga_forgets_and_wrecks(data: Data) -> None:
    after = measure(apply(make("ga"), LM.load(MODEL), data, KEY), data, ["wmdp", "edit_locality"])
    assert after["wmdp"].value < 0.7
    assert after["edit_locality"].value < 0.5


def test_a_part_that_no_step_reads_changes_no_weights(small: Data) -> None:
    other = dataclasses.replace(small, edits=small.edits[:1], locality=small.locality[:1])
    assert len({apply(Wanda(), LM.load(MODEL), d, KEY).fingerprint() for d in (small, other)}) == 1
    assert set(block_linears(LM.load(MODEL).model)) == {
        f"{i}.{part}" for i in range(6) for part in
        (*(f"self_attn.{p}_proj" for p in "qkvo"), *(f"mlp.{p}_proj" for p in ("gate", "up", "down")))
    }  # fmt: skip
