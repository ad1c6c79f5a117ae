"""The small models, their tokenizers and the references themselves, against torch and by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.pytorch_utils import Conv1D

from tests.anatomies import methods, training
from tests.anatomies.references import (
    count_saved,
    decoder_blocks,
    in_order,
    inputs,
    matrices,
    on_a_grid,
    padded_inputs,
)
from tests.anatomies.texts import tiny_data
from tests.anatomies.tokenizers import BOS, EOS, KINDS, tokenizer
from tests.anatomies.zoo import ANATOMIES, WINDOW, build

DATA = tiny_data()
EXPERTS = ("mixtral", "qwen3-moe", "deepseek-v3", "gpt-oss")
Builder = Callable[[str], Path]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """A function that returns the folder of an anatomy's checkpoint, written once a session."""
    folder = tmp_path_factory.mktemp("anatomies")
    return lambda name: build(name, folder)


@pytest.mark.parametrize("name", ANATOMIES)
def test_a_saved_model_and_its_tokenizer_are_loaded_as_they_were(name: str, built: Builder) -> None:
    anatomy, folder = ANATOMIES[name], built(name)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    read = AutoTokenizer.from_pretrained(folder)
    written = tokenizer(anatomy.tokenizer)
    for text in DATA.calibration:
        assert read.encode(text) == written.encode(text)
    ids = torch.tensor([read.encode(DATA.calibration[0])])
    expected = anatomy.model()(ids).logits
    # transformers may load other kernels for fused experts
    torch.testing.assert_close(model(ids).logits, expected, rtol=1e-4, atol=1e-4)
    assert len(read) <= model.get_input_embeddings().weight.shape[0]


@pytest.mark.parametrize("name", ANATOMIES)
def test_every_layer_matters_and_texts_are_longer_than_the_window(name: str) -> None:
    anatomy = ANATOMIES[name]
    model = anatomy.model()
    rows = in_order(tokenizer(anatomy.tokenizer), DATA.calibration, 2048)
    assert len(rows[0]) < 20 and len(rows[-1]) > 3 * WINDOW
    ids = torch.tensor([rows[-1]])
    before = model(ids).logits
    generator = torch.Generator().manual_seed(0)
    for block in decoder_blocks(model, anatomy):
        state = {key: value.clone() for key, value in block.state_dict().items()}
        for parameter in block.parameters():
            if parameter.dim() > 1:
                # not a plain factor: a norm after a matrix takes that back
                parameter.mul_(1 + 0.3 * torch.randn(parameter.shape, generator=generator))
        assert (model(ids).logits - before).norm() > 0.01 * before.norm()
        block.load_state_dict(state)
    torch.testing.assert_close(model(ids).logits, before)


@pytest.mark.parametrize("name", ANATOMIES)
def test_matrices_are_the_weights_of_the_blocks_but_for_norms_biases_and_routers(name: str) -> None:
    anatomy = ANATOMIES[name]
    model = anatomy.model()
    named = {id(matrix.parameter) for matrix in matrices(model, anatomy).values()}
    apart = {
        path
        for block in decoder_blocks(model, anatomy)
        for path, parameter in block.named_parameters()
        if parameter.dim() > 1 and id(parameter) not in named
    }
    routers = {
        "gpt-oss": {
            "mlp.router.weight",
            "mlp.experts.gate_up_proj_bias",
            "mlp.experts.down_proj_bias",
        }
    }
    assert apart == routers.get(name, {"mlp.gate.weight"} if name in EXPERTS else set())


@pytest.mark.parametrize("name", ANATOMIES)
def test_a_matrix_times_its_inputs_is_what_its_module_gives(name: str) -> None:
    anatomy = ANATOMIES[name]
    model = anatomy.model()
    ids = tokenizer(anatomy.tokenizer).encode(DATA.calibration[0])
    modules = dict(decoder_blocks(model, anatomy).named_modules())
    outputs: dict[str, Tensor] = {}

    def hook(path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        # a copy: some blocks add to an output in place
        return lambda module, args, output: outputs.update({path: output.flatten(0, -2).clone()})

    handles = [
        module.register_forward_hook(hook(path))
        for path, module in modules.items()
        if isinstance(module, nn.Linear | Conv1D)
    ]
    x = inputs(model, anatomy, [ids])
    for handle in handles:
        handle.remove()
    every = matrices(model, anatomy)
    assert set(x) == set(every)
    for path, output in outputs.items():
        bias = getattr(modules[path], "bias", None)
        expected = x[path] @ every[path].view.double().T + (0 if bias is None else bias.double())
        torch.testing.assert_close(output.double(), expected, rtol=1e-4, atol=1e-4)
    assert len(outputs) + sum(".experts." in path for path in every) == len(every)


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_give_the_sum_of_their_matrices_outputs(name: str) -> None:
    anatomy = ANATOMIES[name]
    model = anatomy.model()
    ids = tokenizer(anatomy.tokenizer).encode(DATA.calibration[0])
    experts: Any = decoder_blocks(model, anatomy)[2].get_submodule("mlp.experts")
    calls: list[tuple[Any, Any]] = []
    handle = experts.register_forward_hook(
        lambda module, args, kwargs, output: calls.append(((*args, *kwargs.values()), output)),
        with_kwargs=True,
    )
    x = inputs(model, anatomy, [ids], block=2)
    handle.remove()
    ((_, chosen, shares), output), *_ = calls
    every = matrices(model, anatomy)
    total = torch.zeros_like(output, dtype=torch.float64)
    for expert in range(len(experts.down_proj)):
        path = f"2.mlp.experts.{expert}.down_proj"
        written = x[path] @ every[path].view.double().T
        if name == "gpt-oss":
            written = written + experts.down_proj_bias[expert].double()
        is_chosen = (chosen == expert).any(1)
        weight = (shares * (chosen == expert)).sum(1)[is_chosen]
        total[is_chosen] += weight[:, None].double() * written
    torch.testing.assert_close(output.double(), total, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ANATOMIES)
def test_a_ragged_batch_gives_the_inputs_of_single_texts(name: str) -> None:
    anatomy = ANATOMIES[name]
    model = anatomy.model()
    rows = in_order(tokenizer(anatomy.tokenizer), DATA.calibration, 2048)[::4]
    single, padded = inputs(model, anatomy, rows), padded_inputs(model, anatomy, rows)
    assert padded
    for path, x in padded.items():
        assert (x - single[path]).norm() <= 1e-5 * single[path].norm()


@pytest.mark.parametrize("name", ANATOMIES)
def test_a_count_over_saved_files_is_the_count_over_matrices(
    name: str, built: Builder, tmp_path: Path
) -> None:
    anatomy = ANATOMIES[name]
    model = anatomy.model()
    every = matrices(model, anatomy)
    total = sum(matrix.view.numel() for matrix in every.values())
    untouched = count_saved(built(name), anatomy)
    assert (untouched.weights, untouched.zeros, untouched.bits) == (total, 0, 16)
    zeros = 0
    for index, matrix in enumerate(every.values()):
        if index % 3 == 0:
            matrix.view[::2] = 0
            zeros += matrix.view[::2].numel()
        else:
            matrix.view.copy_(methods.rtn(matrix.view, 3, 32))
    model.save_pretrained(tmp_path)
    counted = count_saved(tmp_path, anatomy, 3, 32)
    assert counted.weights == total and counted.zeros >= zeros
    if name not in EXPERTS:  # a fused matrix may be saved in parts
        on_grid = sum(m.view.numel() for i, m in enumerate(every.values()) if i % 3)
        expected = 4 * on_grid + 16 * (total - on_grid - zeros) + zeros
        assert counted.bits == pytest.approx(expected / total)


@pytest.mark.parametrize("kind", KINDS)
def test_tokenizers_read_back_what_they_wrote(kind: str) -> None:
    words = tokenizer(kind)
    for text in (*DATA.calibration[:4], "café 東京 \u2028 tab\t."):
        ids = words.encode(text)
        assert (ids[0] == words.convert_tokens_to_ids(BOS)) == (kind != "bytes")
        assert words.decode(ids, skip_special_tokens=True) == text
    shown = words.decode([*words.encode("The river"), words.eos_token_id])
    assert (EOS in shown) == (kind != "dropping")


def test_only_the_older_sentencepiece_puts_a_second_blank_before_a_word() -> None:
    for kind in KINDS:
        words = tokenizer(kind)
        alone = words.encode(" green tower", add_special_tokens=False)
        prompt = words.encode("The home of Velta lies")
        whole = words.encode("The home of Velta lies green tower")
        assert whole[: len(prompt)] == prompt
        assert (alone == whole[len(prompt) :]) == (kind != "sentencepiece")
        tokens = words.convert_ids_to_tokens(alone)
        assert (tokens[0] == "▁") == (kind == "sentencepiece")


def test_the_subjects_last_token_ends_the_subject() -> None:
    for kind in KINDS:
        words = tokenizer(kind)
        for edit in DATA.edits:
            position = training.subject_end(words, edit)
            ids = words.encode(edit.prompt)[: position + 1]
            assert words.decode(ids, skip_special_tokens=True).endswith(edit.subject)


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "gemma3"])
def test_losses_and_greedy_answers_are_those_of_transformers(name: str) -> None:
    anatomy = ANATOMIES[name]
    model, words = anatomy.model(), tokenizer(anatomy.tokenizer)
    ids = torch.tensor([words.encode(DATA.calibration[0])])
    rows = training.text_rows(words, DATA.calibration[:1], 512)
    loss = training.mean_over_tokens(model, rows)
    assert float(loss) == pytest.approx(float(model(ids, labels=ids).loss), rel=1e-5)
    generated = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=5,
        min_new_tokens=5,
        do_sample=False,
        pad_token_id=words.eos_token_id,
        eos_token_id=None,
    )
    assert training.greedy(model, ids[0].tolist(), 5) == generated[0, ids.shape[1] :].tolist()


def test_rounding_to_nearest_is_torchs_fake_quantization() -> None:
    weight = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    part = methods.Range.fit(weight.double(), 4, symmetric=False)
    expected = torch.fake_quantize_per_channel_affine(
        weight, part.scale.float(), part.zero.int(), 0, 0, 15
    )
    torch.testing.assert_close(methods.rtn(weight, 4, 32).float(), expected)
    assert on_a_grid(methods.rtn(weight, 3, 16), 3, 16)
    assert not on_a_grid(methods.rtn(weight, 3, 16), 2, 16) and not on_a_grid(weight, 4, 16)


def test_without_correlations_the_solvers_are_their_baselines() -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(8, 128, generator=generator).double()
    x = torch.eye(128).double()
    rounded = methods.rtn(weight, 3, 32)
    for static in (True, False):
        settled = methods.gptq(weight, x, 3, 32, static_groups=static, act_order=False)
        torch.testing.assert_close(settled, rounded)
    torch.testing.assert_close(methods.sparsegpt(weight, x, 0.5), methods.magnitude(weight, 0.5))
    kept_per_row = (methods.wanda(weight, x, 0.25) != 0).sum(1)
    assert kept_per_row.tolist() == [96] * 8


def test_with_correlations_the_solvers_beat_their_baselines() -> None:
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(16, 64, generator=generator).double()
    x = torch.randn(256, 64, generator=generator) @ torch.randn(64, 64, generator=generator)
    factor, _ = methods.inverse_factor(x, 0.01)
    hessian = 2 * x.double().T @ x.double() / len(x)
    hessian.diagonal().add_(0.01 * hessian.diagonal().mean())
    torch.testing.assert_close(factor.T @ factor @ hessian, torch.eye(64).double())
    whole = [
        methods.gptq(weight, x, 3, 64, static_groups=static, act_order=order)
        for static in (True, False)
        for order in (True, False)
    ]
    # one group of all inputs is fitted before anything is rounded either way
    torch.testing.assert_close(whole[0], whole[2])
    torch.testing.assert_close(whole[1], whole[3])
    baseline = methods.loss(weight, methods.rtn(weight, 3, 64), x)
    assert all(methods.loss(weight, settled, x) < 0.5 * baseline for settled in whole)
    x = torch.randn(256, 64, generator=generator).cumsum(1)
    pruned = methods.loss(weight, methods.sparsegpt(weight, x, 0.5), x)
    assert pruned < 0.5 * methods.loss(weight, methods.magnitude(weight, 0.5), x)


def test_wanda_weighs_by_the_norm_of_inputs() -> None:
    weight = torch.tensor([[3.0, -1.0], [0.5, 2.0]])
    x = torch.tensor([[1.0, 3.0], [0.0, 4.0]])  # norms 1 and 5
    expected = torch.tensor([[0.0, -1.0], [0.0, 2.0]])
    assert torch.equal(methods.wanda(weight, x, 0.5).float(), expected)
    assert methods.loss(weight, expected, x) == pytest.approx(3.0**2 + 0.5**2)


def test_replacing_a_state_by_itself_changes_no_loss() -> None:
    anatomy = ANATOMIES["gemma2"]
    model, words = anatomy.model(), tokenizer(anatomy.tokenizer)
    ((ids, first),) = training.answer_rows(words, DATA.edits[:1])
    position = first - 1  # within the window of the answer
    state = training.block_output(model, anatomy, ids, 1)[position]
    args = (model, anatomy, 1, position)
    plain = training.losses(model, ids, first)
    torch.testing.assert_close(training.state_replaced(*args, state, ids, first), plain)
    assert not torch.allclose(training.state_replaced(*args, -state, ids, first), plain)
    logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    by_hand = [-float(logits[t - 1, ids[t]]) for t in range(first, len(ids))]
    assert F.l1_loss(plain, torch.tensor(by_hand).double()) < 1e-5
