"""Models on quantization grids, and independent readings of packed checkpoints."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from interventions.anatomy import block_linears
from interventions.compression.quantization import fit_grid
from interventions.lm import LM
from interventions.quantization_grid import QuantizationGrid


def put(lm: LM, name: str, grid: QuantizationGrid, integers: Tensor) -> None:
    """Give a layer the values of a grid."""
    weight = block_linears(lm.model)[name].weight
    weight.copy_(grid.values(integers))
    lm.grids[name] = grid


def rounded(lm: LM, bits: int, group: int, symmetric: bool) -> LM:
    """The model with every layer rounded to the nearest value."""
    for name, linear in block_linears(lm.model).items():
        grid = fit_grid(linear.weight, bits, group, symmetric)
        put(lm, name, grid, grid.integers(linear.weight))
    return lm


def random_grids(lm: LM, bits: int, group: int, symmetric: bool) -> LM:
    """The model with random grids, on which every integer and every zero occurs."""
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
    """(rows, count) integers from (rows, words): a row is one number, its low end first."""
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
    """A layer's weight (out, in): scale x (integer - zero); version 1 has the zero less 1."""
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
