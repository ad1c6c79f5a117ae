"""Packed checkpoints: what is in them by an independent reading, and what plain transformers makes of them."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from interventions.anatomy import block_linears
from interventions.compression.quantization import fit
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.export import pack
from interventions.lm import LM, QuantizationGrid
from tests.peers import environment

IDS = torch.arange(96).reshape(2, 48) * 13 % 2560  # any tokens


def put(lm: LM, name: str, grid: QuantizationGrid, integers: Tensor) -> None:
    """Give a layer the values of a grid."""
    weight = block_linears(lm.model)[name].weight
    weight.copy_(grid.values(integers))
    lm.grids[name] = grid


def rounded(lm: LM, bits: int, group: int, symmetric: bool) -> LM:
    """The model with every layer rounded to the nearest value."""
    for name, linear in block_linears(lm.model).items():
        grid = fit(linear.weight, bits, group, symmetric)
        put(lm, name, grid, grid.integers(linear.weight))
    return lm


def random_grids(lm: LM, bits: int, group: int, symmetric: bool) -> LM:
    """The model with random grids: every integer and every zero occurs, the lowest and the highest too."""
    generator = torch.Generator().manual_seed(bits)
    for name, linear in block_linears(lm.model).items():
        size = linear.in_features if group == -1 else group
        shape = (linear.out_features, linear.in_features // size)
        zero = torch.randint(2**bits, shape, generator=generator).float()
        if symmetric:
            zero.fill_(2 ** (bits - 1))
        grid = QuantizationGrid(
            bits, size, torch.rand(shape, generator=generator) / 100 + 0.001, zero
        )
        put(lm, name, grid, torch.randint(2**bits, linear.weight.shape, generator=generator))
    return lm


def unpacked(words: Tensor, bits: int, count: int) -> Tensor:
    """(rows, count) integers from (rows, words): each row is one number of many bits, its low end first."""
    rows = []
    for row in words.tolist():
        number = sum((word & 0xFFFFFFFF) << 32 * i for i, word in enumerate(row))
        rows.append([number >> bits * i & 2**bits - 1 for i in range(count)])
    return torch.tensor(rows)


def read_compressed_tensors(
    folder: Path, layer: str, bits: int, group: int, symmetric: bool
) -> Tensor:
    """A layer's weight (out, in): scale x (integer - zero), both integers signed."""
    tensors = load_file(folder / "model.safetensors")
    out, inputs = tensors[f"{layer}.weight_shape"].tolist()
    size = inputs if group == -1 else group
    zero = torch.zeros(out, inputs // size)
    if not symmetric:
        zero = unpacked(tensors[f"{layer}.weight_zero_point"].T, bits, out).T - 2.0 ** (bits - 1)
    integers = unpacked(tensors[f"{layer}.weight_packed"], bits, inputs) - 2 ** (bits - 1)
    scale = tensors[f"{layer}.weight_scale"]
    return scale.repeat_interleave(size, 1) * (integers - zero.repeat_interleave(size, 1))


def read_gptq(folder: Path, layer: str, bits: int, group: int, symmetric: bool) -> Tensor:
    """A layer's weight (out, in): scale x (integer - zero), by each input's group; version 1 has the zero less 1."""
    tensors = load_file(folder / "model.safetensors")
    groups = tensors[f"{layer}.g_idx"].tolist()
    scale = tensors[f"{layer}.scales"]  # (in / group, out)
    version = json.loads((folder / "config.json").read_text())["quantization_config"][
        "checkpoint_format"
    ]
    assert version == ("gptq" if symmetric else "gptq_v2")
    zero = unpacked(tensors[f"{layer}.qzeros"], bits, scale.shape[1]) + (version == "gptq")
    integers = unpacked(tensors[f"{layer}.qweight"].T, bits, len(groups)).T  # (in, out)
    return (scale[groups].float() * (integers - zero[groups])).T


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 70), st.integers(2, 8), st.integers(0, 99))
def test_packing_is_one_stream_of_bits_per_row(rows: int, count: int, bits: int, seed: int) -> None:
    integers = torch.randint(2**bits, (rows, count), generator=torch.Generator().manual_seed(seed))
    words = pack(integers, bits)
    assert words.dtype is torch.int32 and words.shape == (rows, -(-count * bits // 32))
    assert torch.equal(unpacked(words, bits, count), integers)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(
    ("bits", "group"), [(2, 16), (3, 32), (4, 128), (4, -1), (5, 8), (6, 64), (7, 32), (8, -1)]
)
def test_a_compressed_tensors_export_holds_the_weights(
    lm: LM, tmp_path: Path, bits: int, group: int, symmetric: bool
) -> None:
    random_grids(lm, bits, group, symmetric).export(tmp_path / "packed")
    for layer in ("0.self_attn.k_proj", "5.mlp.down_proj"):
        read = read_compressed_tensors(
            tmp_path / "packed", f"model.layers.{layer}", bits, group, symmetric
        )
        assert torch.equal(read, block_linears(lm.model)[layer].weight)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "group"), [(2, 16), (3, 32), (3, -1), (4, 64), (8, 128)])
def test_a_gptq_export_holds_the_weights_with_their_scales_in_float16(
    lm: LM, tmp_path: Path, bits: int, group: int, symmetric: bool
) -> None:
    random_grids(lm, bits, group, symmetric).export(tmp_path / "packed", format="gptq")
    for layer in ("0.self_attn.k_proj", "5.mlp.down_proj"):
        read = read_gptq(tmp_path / "packed", f"model.layers.{layer}", bits, group, symmetric)
        weight = block_linears(lm.model)[layer].weight
        assert torch.allclose(read, weight, rtol=2**-11, atol=0)  # half a step of float16


@pytest.mark.parametrize("format", ["compressed-tensors", "gptq"])
@pytest.mark.parametrize("bits", [2, 3, 8])
def test_packed_layers_are_as_small_as_their_bits_and_the_rest_is_as_it_was(
    lm: LM, tmp_path: Path, bits: int, format: str
) -> None:
    random_grids(lm, bits, 128, symmetric=False).export(tmp_path / "packed", format=format)
    stored = load_file(tmp_path / "packed" / "model.safetensors")
    dense = {
        name: tensor for name, tensor in lm.model.state_dict().items() if name != "lm_head.weight"
    }  # tied
    layers = {f"model.layers.{name}.weight" for name in block_linears(lm.model)}
    for name in dense.keys() - layers:
        assert torch.equal(stored.pop(name), dense[name])
    packed_bytes = sum(tensor.nbytes for tensor in stored.values())
    ratio = packed_bytes / sum(dense[name].nbytes for name in layers)
    assert (
        bits / 32 < ratio < (bits + (32 + bits) / 128 + 0.5) / 32
    )  # + scale and zero, + g_idx or shape


def test_the_tokenizer_and_the_configuration_are_exported_too(lm: LM, tmp_path: Path) -> None:
    rounded(lm, 4, 32, symmetric=True).export(tmp_path / "deep" / "packed")
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["packed"]
    assert (tmp_path / "deep" / "packed" / "tokenizer.json").exists()
    config = json.loads((tmp_path / "deep" / "packed" / "config.json").read_text())
    assert config["quantization_config"]["ignore"] == ["lm_head"]
    assert config["tie_word_embeddings"] is True
    assert not hasattr(lm.model.config, "quantization_config")  # the model itself stays dense


def unquantized(lm: LM) -> None:
    del lm.grids["3.mlp.up_proj"]


def edited(lm: LM) -> None:
    block_linears(lm.model)["3.mlp.up_proj"].weight[5, 7] += 0.01


def of_two_widths(lm: LM) -> None:
    weight = block_linears(lm.model)["3.mlp.up_proj"].weight
    grid = fit(weight, 3, 32, symmetric=False)
    put(lm, "3.mlp.up_proj", grid, grid.integers(weight))


def in_two_group_sizes(lm: LM) -> None:
    weight = block_linears(lm.model)["3.mlp.up_proj"].weight
    grid = fit(weight, 4, 16, symmetric=False)
    put(lm, "3.mlp.up_proj", grid, grid.integers(weight))


def with_a_zero_between_integers(lm: LM) -> None:
    grid = lm.grids["3.mlp.up_proj"]
    grid.zero[0, 0] = 7.5
    integers = torch.ones(256, 128)
    integers[0, :32] = 7.5
    put(lm, "3.mlp.up_proj", grid, integers)


def with_a_scale_below_float16(lm: LM) -> None:
    grid = lm.grids["3.mlp.up_proj"]
    grid.scale[0, 0] = 1e-8
    put(lm, "3.mlp.up_proj", grid, torch.ones(256, 128))


@pytest.mark.parametrize(
    ("spoil", "format", "says"),
    [
        (unquantized, "gptq", "layer 3.mlp.up_proj is not quantized"),
        (edited, "gptq", "layer 3.mlp.up_proj have left their 4-bit grid"),
        (
            of_two_widths,
            "gptq",
            "0.self_attn.q_proj has 4 bits in groups of 32, 3.mlp.up_proj has 3 bits",
        ),
        (in_two_group_sizes, "gptq", "3.mlp.up_proj has 4 bits in groups of 16"),
        (
            with_a_zero_between_integers,
            "compressed-tensors",
            "3.mlp.up_proj has zeros that are not among .* 0 to 15",
        ),
        (with_a_scale_below_float16, "gptq", "3.mlp.up_proj do not fit into the float16"),
        (
            lambda lm: None,
            "awq",
            "no export format is named 'awq'; known: compressed-tensors, gptq",
        ),
        (lambda lm: rounded(lm, 5, 32, True), "gptq", "'gptq' has 2, 3, 4, 8 bits, but .* have 5"),
        (lambda lm: rounded(lm, 4, 8, True), "gptq", "'gptq' has groups of .*, not 8"),
    ],
)
def test_what_cannot_be_exported_is_one_clear_error_and_no_file(
    lm: LM, tmp_path: Path, spoil: Callable[[LM], object], format: str, says: str
) -> None:
    rounded(lm, 4, 32, symmetric=False)
    spoil(lm)
    with pytest.raises(InvalidInput, match=says):
        lm.export(tmp_path / "packed", format=format)
    assert not list(tmp_path.iterdir())


def test_gptq_has_no_layers_of_odd_sizes(tmp_path: Path) -> None:
    sizes = {
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = AutoConfig.for_model("llama", vocab_size=64, num_key_value_heads=2, **sizes)
    model = AutoModelForCausalLM.from_config(config).requires_grad_(False)
    lm = rounded(LM(model, LM.load(MODEL).tokenizer), 4, 16, symmetric=True)
    with pytest.raises(InvalidInput, match=r"0\.self_attn\.q_proj is 48 x 48"):
        lm.export(tmp_path / "packed", format="gptq")
    lm.export(tmp_path / "packed", format="compressed-tensors")
    read = read_compressed_tensors(
        tmp_path / "packed", "model.layers.0.self_attn.q_proj", 4, 16, True
    )
    assert torch.equal(read, block_linears(model)["0.self_attn.q_proj"].weight)


def test_experts_in_one_weight_are_refused(tmp_path: Path) -> None:
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = AutoConfig.for_model(
        "mixtral", vocab_size=64, num_key_value_heads=2, num_local_experts=2, **sizes
    )
    model = AutoModelForCausalLM.from_config(config).requires_grad_(False)
    lm = rounded(LM(model, LM.load(MODEL).tokenizer), 4, 16, symmetric=True)
    with pytest.raises(
        InvalidInput, match=r"MixtralForCausalLM cannot be exported: 0\.mlp\.experts"
    ):
        lm.export(tmp_path / "packed")


def test_a_folder_with_something_in_it_is_left_alone(lm: LM, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(InvalidInput, match="is not an empty folder"):
        rounded(lm, 4, 32, symmetric=True).export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_failure_while_writing_leaves_nothing(
    lm: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(type(lm.tokenizer), "save_pretrained", full)
    with pytest.raises(OSError, match="no space"):
        rounded(lm, 4, 32, symmetric=True).export(tmp_path / "packed")
    assert not list(tmp_path.iterdir())


# read back by plain transformers, in an environment that has the format's library

RELOAD = """
import sys, torch
from transformers import AutoModelForCausalLM
torch.set_num_threads(2)
ids = torch.load("ids.pt")
for folder in sys.argv[1:]:
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight, "tied embeddings came apart"
    with torch.no_grad():
        torch.save(model(ids).logits, f"{folder}.pt")
"""
SCHEMES = [
    (bits, group, symmetric)
    for bits in range(2, 9)
    for group in (32, -1)
    for symmetric in (True, False)
]


def logits(lm: LM) -> Tensor:
    with torch.no_grad():
        return lm.model(IDS).logits


def reloaded(peer: str, folders: list[str], where: Path) -> dict[str, Tensor]:
    """The logits of exported folders, computed in the environment of a peer."""
    torch.save(IDS, where / "ids.pt")
    # compiling would take longer than running
    env = {**os.environ, "GPTQMODEL_CPU_WORKERS": "2", "TORCHDYNAMO_DISABLE": "1"}
    command = [str(environment(peer)), "-c", RELOAD, *folders]
    done = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return {folder: torch.load(where / f"{folder}.pt") for folder in folders}


@pytest.mark.slow
def test_transformers_computes_the_same_from_a_compressed_tensors_export(tmp_path: Path) -> None:
    expected = {}
    for bits, group, symmetric in SCHEMES:
        lm = rounded(LM.load(MODEL), bits, group, symmetric)
        name = f"{bits}-{group}-{symmetric}"
        lm.export(tmp_path / name)
        expected[name] = logits(lm)
    for name, seen in reloaded("llmcompressor", list(expected), tmp_path).items():
        assert torch.allclose(seen, expected[name], rtol=0, atol=1e-3), name


@pytest.mark.slow
def test_transformers_computes_the_same_from_a_gptq_export_but_for_float16(tmp_path: Path) -> None:
    expected, dense = {}, {}
    for bits, group, symmetric in SCHEMES:
        if bits not in (2, 3, 4, 8):
            continue
        lm = rounded(LM.load(MODEL), bits, group, symmetric)
        name = f"{bits}-{group}-{symmetric}"
        lm.export(tmp_path / name, format="gptq")
        dense[name] = logits(lm)
        for layer, linear in block_linears(
            lm.model
        ).items():  # what scales and products in float16 make of the weights
            grid = lm.grids[layer]
            whole = QuantizationGrid(grid.bits, grid.group, torch.ones_like(grid.scale), grid.zero)
            steps = whole.values(grid.integers(linear.weight)).half()
            linear.weight.copy_(grid.scale.half().repeat_interleave(grid.group, 1) * steps)
        expected[name] = logits(lm)
    for name, seen in reloaded("gptqmodel", list(expected), tmp_path).items():
        assert torch.allclose(seen, expected[name], rtol=0, atol=1e-3), name
        assert (seen - dense[name]).abs().max() < 2e-3 * dense[name].abs().max(), name
