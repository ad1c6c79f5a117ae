"""Packed layouts: an independent reading of them, and what transformers makes of them."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from interventions.anatomy import block_linears
from interventions.data.testbed import MODEL
from interventions.lm import LM
from interventions.packed_formats import FORMATS, pack
from interventions.quantization_grid import QuantizationGrid
from tests.interventions.quantized import (
    random_grids,
    read_compressed_tensors,
    read_gptq,
    rounded,
    unpacked,
)
from tests.peers import environment

IDS = torch.arange(96).reshape(2, 48) * 13 % 2560  # any tokens


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


# read back by plain transformers, in an environment that has the format's library

RELOAD = """
import sys, torch
from transformers import AutoModelForCausalLM
torch.set_num_threads(2)
ids = torch.load("ids.pt")
for folder in sys.argv[1:]:
    model = AutoModelForCausalLM.from_pretrained(folder)
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    assert head.weight is embeddings.weight, "tied embeddings came apart"
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


def reloaded(peer: str, names: list[str], folder: Path) -> dict[str, Tensor]:
    """The logits of exported models, computed in the environment of a peer."""
    torch.save(IDS, folder / "ids.pt")
    # compiling would take longer than running
    env = {**os.environ, "GPTQMODEL_CPU_WORKERS": "2", "TORCHDYNAMO_DISABLE": "1"}
    command = [str(environment(peer)), "-c", RELOAD, *names]
    ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return {name: torch.load(folder / f"{name}.pt") for name in names}


@pytest.mark.slow
def test_transformers_computes_the_same_from_a_compressed_tensors_export(tmp_path: Path) -> None:
    expected = {}
    for bits, group, symmetric in SCHEMES:
        lm = rounded(LM.load(MODEL), bits, group, symmetric)
        name = f"{bits}-{group}-{symmetric}"
        lm.export(tmp_path / name)
        expected[name] = logits(lm)
    for name, reloaded_logits in reloaded("llmcompressor", list(expected), tmp_path).items():
        assert torch.allclose(reloaded_logits, expected[name], rtol=0, atol=1e-3), name


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
        # what scales and products in float16 make of the weights
        for layer, linear in block_linears(lm.model).items():
            grid = lm.grids[layer]
            whole = QuantizationGrid(grid.bits, grid.group, torch.ones_like(grid.scale), grid.zero)
            steps = whole.values(grid.integers(linear.weight)).half()
            linear.weight.copy_(grid.scale.half().repeat_interleave(grid.group, 1) * steps)
        expected[name] = logits(lm)
    for name, reloaded_logits in reloaded("gptqmodel", list(expected), tmp_path).items():
        assert torch.allclose(reloaded_logits, expected[name], rtol=0, atol=1e-3), name
        assert (reloaded_logits - dense[name]).abs().max() < 2e-3 * dense[name].abs().max(), name


def test_a_format_holds_the_widths_that_its_readers_unpack() -> None:
    assert {name: each.widths for name, each in FORMATS.items()} == {
        "compressed-tensors": (2, 3, 4, 5, 6, 7, 8),
        "gptq": (2, 3, 4, 8),
    }
