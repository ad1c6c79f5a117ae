"""What layers see during calibration, against plain forward passes over single texts."""

import dataclasses
import itertools
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from interventions.anatomy import block_linears, linears
from interventions.base import Intervention
from interventions.composition import apply
from interventions.compression.awq import AWQ
from interventions.compression.calibration import (
    Inputs,
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
from tests.anatomies import methods
from tests.anatomies.references import in_order
from tests.anatomies.references import inputs as plain_inputs
from tests.anatomies.texts import sentences, tiny_data
from tests.anatomies.tokenizers import tokenizer as small_tokenizer
from tests.anatomies.zoo import ANATOMIES, POSITIONS
from tests.interventions.compression.reference import KEY, distance

TEXTS = list(sentences(12, seed=3))


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
    names = {matrix.module: name for name, matrix in block_linears(lm.model).items()}
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


# of the zoo: blocks that differ in masks or rotary embeddings, that flatten their tokens, a
# multimodal class, matrices that are stored transposed, fused experts of three layouts
NAMES = (
    "qwen2-window",
    "gemma2",
    "gemma3",
    "cohere2",
    "mpt",
    "opt-350m",
    "gpt2",
    "qwen3-moe",
    "deepseek-v3",
    "gpt-oss",
)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_those_of_plain_passes_over_single_texts_in_every_anatomy(name: str) -> None:
    """The texts are of many lengths, most of them longer than the sliding window."""
    lm, expected = random_anatomy(name)
    for index, (block, observe) in enumerate(calibrated_blocks(lm, TEXTS)):
        collected: dict[str, list[Tensor]] = {}
        observe(lambda path, x, parts=collected: parts.setdefault(path, []).append(x))  # type: ignore[misc]
        assert set(collected) == {path for path, _ in linears(block)}
        for path, parts in collected.items():
            x, own = torch.cat(parts).double(), expected[f"{index}.{path}"]
            assert x.shape == own.shape
            assert (x - own).norm() <= 1e-5 * own.norm(), path


def random_anatomy(name: str) -> tuple[LM, dict[str, Tensor]]:
    """Return a small model of the zoo, and its matrices' inputs on the texts, by our names."""
    anatomy = ANATOMIES[name]
    lm = LM(anatomy.model(), small_tokenizer(anatomy.tokenizer))
    lm.tokenizer.pad_token = lm.tokenizer.eos_token
    plain = plain_inputs(lm.model, anatomy, in_order(lm.tokenizer, TEXTS, 2048))
    order = r"experts.\2.\1"
    return lm, {re.sub(r"experts\.(\w+)\.(\d+)$", order, path): x for path, x in plain.items()}


def test_statistics_of_an_expert_without_tokens_say_nothing_about_its_inputs() -> None:
    lm, _ = random_anatomy("qwen3-moe")
    with pytest.warns(UserWarning, match=WARNING):
        statistics, *_ = [input_statistics(see) for _, see in calibrated_blocks(lm, ["old"])]
    unseen = [path for path, inputs in statistics.items() if not inputs.tokens]
    assert unseen and all("experts" in path for path in unseen)
    for path in unseen:
        assert torch.equal(statistics[path].gram, torch.eye(len(statistics[path].gram)))
        assert torch.equal(statistics[path].magnitude, torch.ones(len(statistics[path].gram)))


WARNING = (
    r"^calibration: \d+ experts saw fewer than 16 tokens: 0\.mlp\.experts\.0 \(\d\), .*"
    r" and \d+ more; those that saw none are compressed by their weights alone$"
)


def test_only_the_tokens_of_a_blocks_latest_observation_are_counted() -> None:
    lm, _ = random_anatomy("mixtral")
    messages = []
    for times in (1, 3):
        with pytest.warns(UserWarning, match="experts saw fewer than 16 tokens") as caught:
            for _, observe in calibrated_blocks(lm, TEXTS[:1]):
                for _ in range(times):
                    observe(lambda name, inputs: None)
        messages.append(str(caught[0].message))
    assert messages[0] == messages[1]
    for _ in calibrated_blocks(lm, TEXTS[:1]):
        pass  # nothing was observed: there is nothing to warn of


@pytest.mark.parametrize("step", [Wanda(0.5), SparseGPT(0.5), GPTQ(bits=3, group=32)], ids=str)
def test_an_expert_without_tokens_is_compressed_by_its_weights_alone(step: Intervention) -> None:
    """Reference: magnitude by row, magnitude by 128 columns, rounding to nearest, in float64."""
    lm, _ = random_anatomy("qwen3-moe")
    before = {path: matrix.weight.clone() for path, matrix in block_linears(lm.model).items()}
    with torch.no_grad():
        _, observe = next(calibrated_blocks(lm, ["old"]))
    statistics = input_statistics(observe)
    unseen = [f"0.{path}" for path, inputs in statistics.items() if not inputs.tokens]
    with pytest.warns(UserWarning, match=WARNING):
        step.apply(lm, dataclasses.replace(tiny_data(), calibration=("old",)))
    assert step.holds(lm) and unseen
    for path in unseen:
        weight, changed = before[path].double(), block_linears(lm.model)[path].weight.double()
        if isinstance(step, GPTQ):
            expected = methods.rtn(weight, 3, 32, symmetric=step.symmetric)
        elif isinstance(step, Wanda):
            expected = methods.wanda(weight, torch.ones(1, weight.shape[1]), 0.5)
        else:
            expected = methods.magnitude(weight, 0.5)  # no matrix is wider than 128
        assert (changed - expected).abs().max() <= 1e-5 * weight.abs().max()


def test_texts_are_cut_to_what_the_model_can_read() -> None:
    lm, _ = random_anatomy("opt")
    text = " ".join(TEXTS)
    assert len(lm.tokenizer.encode(text)) > POSITIONS
    _, observe = next(calibrated_blocks(lm, [text]))
    assert input_statistics(observe)["self_attn.q_proj"].tokens == POSITIONS


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
    # 512 is the widest layer of the testbed's model: room for 1 token
    monkeypatch.setattr("interventions.compression.calibration._BATCH", 512)
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
    monkeypatch.setattr("interventions.compression.calibration._BATCH", 512 * room)
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


def test_a_matrix_that_no_text_reaches_is_named(lm: LM, small: Data) -> None:
    """Were it left as it was, the model would be less compressed than it says."""
    lm.model.model.layers[1].mlp.spare_proj = torch.nn.Linear(4, 4)
    with pytest.raises(InvalidInput, match=r"LlamaForCausalLM never calls 1\.mlp\.spare_proj"):
        Wanda(sparsity=0.5).apply(lm, small)


def test_an_error_is_weighed_by_tokens_and_without_a_token_as_of_one() -> None:
    gram, change = torch.tensor([[2.0, 1], [1, 3]]), torch.tensor([[1.0, 2], [0, -1]])
    statistics = [Inputs(gram, torch.ones(2), tokens) for tokens in (0, 1, 2, 5)]
    assert [inputs.weight for inputs in statistics] == [1, 1, 2, 5]
    assert {inputs.error(change) for inputs in statistics} == {18 + 3}
