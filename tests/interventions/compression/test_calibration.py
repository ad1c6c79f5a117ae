"""What layers see during calibration, against plain forward passes over single texts."""

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import OPTConfig

from interventions.anatomy import block_linears, linears
from interventions.base import Intervention
from interventions.composition import apply
from interventions.compression.awq import AWQ
from interventions.compression.calibration import (
    _without_padding,
    by_inputs,
    calibrated_blocks,
    input_statistics,
)
from interventions.compression.gptq import GPTQ
from interventions.compression.sparsegpt import SparseGPT
from interventions.compression.wanda import Wanda
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.interventions.compression.reference import KEY, SIZES, distance, random_lm


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


def test_input_statistics_are_those_of_a_plain_forward_pass_over_single_texts(
    lm: LM, small: Data
) -> None:
    names = {linear: name for name, linear in block_linears(lm.model).items()}
    inputs_by_layer: dict[str, list[Tensor]] = {name: [] for name in names.values()}
    handles = [
        linear.register_forward_hook(
            lambda module, args, out: inputs_by_layer[names[module]].append(args[0][0].double())
        )
        for linear in names
    ]
    with torch.no_grad():
        for text in small.calibration:  # no padding
            lm.model(input_ids=torch.tensor([lm.tokenizer.encode(text)]), use_cache=False)
    for handle in handles:
        handle.remove()
    lengths = {len(lm.tokenizer.encode(text)) for text in small.calibration}
    assert len(lengths) > 1  # there is padding to leave out
    for i, (_, observe) in enumerate(calibrated_blocks(lm, small.calibration)):
        statistics = input_statistics(observe)
        assert (
            statistics["self_attn.q_proj"]
            is statistics["self_attn.k_proj"]
            is statistics["self_attn.v_proj"]
        )
        assert statistics["mlp.gate_proj"] is statistics["mlp.up_proj"]
        assert len({id(inputs) for inputs in statistics.values()}) == 4
        for name, inputs in statistics.items():
            x = torch.cat(inputs_by_layer[f"{i}.{name}"])
            assert inputs.tokens == len(x)
            assert distance(inputs.gram, x.T @ x / len(x)) < 1e-5
            assert distance(inputs.magnitude, x.abs().mean(0)) < 1e-5


def test_a_model_that_flattens_its_tokens_inside_a_block_is_calibrated_too(small: Data) -> None:
    """OPT's decoder layer gives fc1 and fc2 (tokens, hidden), not (texts, tokens, hidden)."""
    lm = random_lm(OPTConfig(**SIZES, ffn_dim=128, word_embed_proj_dim=64))
    for _, observe in calibrated_blocks(lm, small.calibration):
        statistics = input_statistics(observe)
        assert statistics["fc1"].tokens == statistics["self_attn.q_proj"].tokens


@pytest.mark.parametrize(
    "step", [Wanda(samples=3), SparseGPT(samples=3), GPTQ(samples=3), AWQ(samples=3)], ids=str
)
def test_samples_is_how_many_texts_are_calibrated_on(
    lm: LM, small: Data, step: Intervention
) -> None:
    by_field = apply(step, lm, small, KEY).fingerprint()
    three = dataclasses.replace(small, calibration=small.calibration[:3])
    two = dataclasses.replace(small, calibration=small.calibration[:2])
    assert apply(step, LM.load(MODEL), three, KEY).fingerprint() == by_field
    assert apply(step, LM.load(MODEL), two, KEY).fingerprint() != by_field


def test_texts_are_run_in_batches_that_fit_the_memory(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In room for one text at a time every batch is one text, and the statistics are the same."""
    texts = small.calibration[:6]
    batches_seen: list[int] = []
    together = [input_statistics(observe) for _, observe in calibrated_blocks(lm, texts)]
    # 256 is the widest layer of the testbed's model: room for 1 token
    monkeypatch.setattr("interventions.compression.calibration._BATCH", 256)
    for i, (_, observe) in enumerate(calibrated_blocks(lm, texts)):
        batches_seen.clear()
        observe(lambda name, inputs: batches_seen.append(len(inputs)) if "q_proj" in name else None)
        alone = input_statistics(observe)
        for name, inputs in together[i].items():
            assert distance(alone[name].gram, inputs.gram) < 1e-5
    assert batches_seen == sorted(len(lm.tokenizer.encode(text)) for text in texts)


def test_a_batch_is_as_large_as_its_room_and_no_larger(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[str]] = []
    encode = LM.encode

    def noted(self: LM, texts: list[str], *args: Any) -> Any:
        batches.append(texts)
        return encode(self, texts, *args)

    lengths = {text: len(lm.tokenizer.encode(text)) for text in small.calibration}
    room = 2 * max(lengths.values())  # tokens, padding included
    monkeypatch.setattr(LM, "encode", noted)
    monkeypatch.setattr("interventions.compression.calibration._BATCH", 256 * room)
    next(calibrated_blocks(lm, small.calibration))
    assert sorted(text for batch in batches for text in batch) == sorted(small.calibration)
    assert all(len(batch) * max(map(lengths.__getitem__, batch)) <= room for batch in batches)
    for batch, following in itertools.pairwise(batches):
        assert (len(batch) + 1) * lengths[following[0]] > room


def test_long_texts_are_cut(lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interventions.compression.calibration._MAX_TOKENS", 5)
    _, observe = next(calibrated_blocks(lm, small.calibration))
    lengths = [min(5, len(lm.tokenizer.encode(text))) for text in small.calibration]
    assert input_statistics(observe)["self_attn.q_proj"].tokens == sum(lengths)


def test_inputs_that_are_not_one_a_token_are_refused_where_there_is_padding() -> None:
    """As those of an expert that sees only some tokens: padding cannot be left out."""
    mask = torch.tensor([[True, True, True], [True, False, False]])
    with pytest.raises(InvalidInput, match=r"layer experts\.0 sees 5 of 6 tokens: padding cannot"):
        _without_padding(lambda name, inputs: None, mask)("experts.0", torch.zeros(5, 4))
    shapes: list[torch.Size] = []
    _without_padding(lambda name, inputs: shapes.append(inputs.shape), mask[:1])(
        "experts.0", torch.zeros(2, 4)
    )
    assert shapes == [(2, 4)]  # without any padding there is nothing to leave out


def test_calibration_without_a_text_is_an_error(lm: LM) -> None:
    with pytest.raises(ValueError, match="needs at least one text"):
        next(calibrated_blocks(lm, []))


def test_layers_are_changed_by_shared_inputs_and_their_statistics_let_go(
    lm: LM, small: Data
) -> None:
    _, observe = next(calibrated_blocks(lm, small.calibration[:2]))
    statistics = input_statistics(observe)
    by_name = dict(statistics)
    groups: list[list[str]] = []
    remaining: list[int] = []

    def change(names: list[str], inputs: object) -> None:
        assert all(by_name[name] is inputs for name in names)
        groups.append(names)
        remaining.append(len(statistics))

    by_inputs(statistics, change)
    attention = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]
    mlp = ["mlp.gate_proj", "mlp.up_proj"]
    assert groups == [attention, ["self_attn.o_proj"], mlp, ["mlp.down_proj"]]
    assert remaining == [7, 4, 3, 1] and not statistics
