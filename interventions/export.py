"""The packed form of a quantized model, which plain ``from_pretrained`` and inference servers load."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interventions.anatomy import block_linears, blocks
from interventions.errors import InvalidInput
from interventions.lm import LM, QuantizationGrid

WHOLE_ROW = -1


@dataclass(frozen=True)
class Scheme:
    """What the grids of all layers have in common.

    Attributes:
        bits: width of the integers.
        group: inputs that share a scale; -1: all of a layer's.
        symmetric: whether every zero is 2^(bits - 1).
    """

    bits: int
    group: int
    symmetric: bool


@dataclass(frozen=True)
class Format:
    """One kind of packed checkpoint.

    Attributes:
        widths: the bits that it has.
        pack: what replaces a layer's weight: (layer's name, integers (out, in), grid, scheme) -> tensors by name.
        config: ``quantization_config`` in ``config.json``.
    """

    widths: tuple[int, ...]
    pack: Callable[[str, Tensor, QuantizationGrid, Scheme], dict[str, Tensor]]
    config: Callable[[LM, Scheme], dict[str, Any]]


def export(lm: LM, folder: Path, format: str) -> None:
    """Write the linear layers of the blocks packed, all other weights as they are, and the tokenizer.

    The folder appears only when it is complete.

    Args:
        lm: a model whose blocks' linear layers all lie on grids of one width and one group size.
        folder: a new or an empty one.
        format: "compressed-tensors" or "gptq".

    Raises:
        InvalidInput: an unknown format, a folder with something in it, or a model that the format cannot hold;
            nothing was written.
    """
    if format not in FORMATS:
        raise InvalidInput(f"no export format is named {format!r}; known: {', '.join(FORMATS)}")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InvalidInput(
            f"cannot export to {str(folder)!r}: it exists and is not an empty folder"
        )
    chosen, scheme = FORMATS[format], common_scheme(lm)
    if scheme.bits not in chosen.widths:
        widths = ", ".join(map(str, chosen.widths))
        raise InvalidInput(
            f"the format {format!r} has {widths} bits, but the model's grids have {scheme.bits}"
        )
    state = lm.model.state_dict()
    full_names = {module: name for name, module in lm.model.named_modules()}
    for name, linear in block_linears(lm.model).items():
        grid = lm.grids[name]
        integers = grid.integers(state.pop(f"{full_names[linear]}.weight"))
        for key, tensor in chosen.pack(name, integers, grid, scheme).items():
            state[f"{full_names[linear]}.{key}"] = tensor.cpu().contiguous()

    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as writing:
        aside = Path(writing) / folder.name
        lm.model.save_pretrained(aside, state_dict=state)
        lm.tokenizer.save_pretrained(aside)
        config = json.loads((aside / "config.json").read_text())
        config["quantization_config"] = chosen.config(lm, scheme)
        (aside / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        aside.rename(folder)


def common_scheme(lm: LM) -> Scheme:
    """What the grids of all layers have in common.

    Raises:
        InvalidInput: a layer is on no grid, its weights have left it, the layers' grids differ, or there are weights
            that no layer of ours has.
    """
    layers = block_linears(lm.model)
    for name, weight in blocks(lm.model).named_parameters():
        if (
            weight.dim() > 2
        ):  # readers take experts, which are one such weight here, for linear layers
            raise InvalidInput(
                f"{type(lm.model).__name__} cannot be exported: {name} is not a linear layer's weight"
            )
    for name, linear in layers.items():
        grid = lm.grids.get(name)
        if grid is None:
            raise InvalidInput(
                f"layer {name} is not quantized: apply rtn, gptq or awq before the export"
            )
        if not grid.holds(linear.weight):
            raise InvalidInput(
                f"the weights of layer {name} have left their {grid.bits}-bit grid: quantize them again"
            )
        if not bool(
            ((grid.zero == grid.zero.round()) & (grid.zero >= 0) & (grid.zero < 2**grid.bits)).all()
        ):
            raise InvalidInput(
                f"layer {name} has zeros that are not among its integers, 0 to {2**grid.bits - 1}"
            )
    grids = {name: lm.grids[name] for name in layers}
    whole_rows = all(grids[name].group == linear.in_features for name, linear in layers.items())
    example: dict[tuple[int, int], str] = {}  # (bits, group) -> the first layer that has them
    for name, grid in grids.items():
        example.setdefault((grid.bits, WHOLE_ROW if whole_rows else grid.group), name)
    if len(example) > 1:
        each = ", ".join(
            f"{name} has {bits} bits in groups of {group}"
            for (bits, group), name in example.items()
        )
        raise InvalidInput(f"a packed checkpoint has one width and one group size, but {each}")
    ((bits, group),) = example
    return Scheme(
        bits, group, all(bool((grid.zero == 2 ** (bits - 1)).all()) for grid in grids.values())
    )


def pack(integers: Tensor, bits: int) -> Tensor:
    """Integers (rows, n) as one stream of bits per row, lowest bit first: int32 (rows, ceil(n x bits / 32)).

    With 3, 5, 6 and 7 bits an integer may begin in one word and end in the next. Both formats pack so.
    """
    values = integers.to("cpu", torch.uint8).numpy()
    stream = (values[:, :, None] >> np.arange(bits, dtype=np.uint8) & 1).reshape(len(values), -1)
    stream = np.pad(stream, ((0, 0), (0, -stream.shape[1] % 32)))
    return torch.from_numpy(np.packbits(stream, axis=1, bitorder="little").view(np.int32))


def _compressed_tensors(
    name: str, integers: Tensor, grid: QuantizationGrid, scheme: Scheme
) -> dict[str, Tensor]:
    """The format "pack-quantized"; its integers are signed, and packed with 2^(bits - 1) added: the grid's own.

    Source: github.com/vllm-project/compressed-tensors 0.18 and later, compressors/pack_quantized (before, widths that
    do not divide 32 were padded).
    """
    packed = {
        "weight_packed": pack(integers, grid.bits),  # (out, in x bits / 32)
        "weight_scale": grid.scale.float(),  # (out, in / group); in the model's own dtype it would move the weights
        "weight_shape": torch.tensor(integers.shape),
    }
    if not scheme.symmetric:
        packed["weight_zero_point"] = pack(
            grid.zero.T, grid.bits
        ).T  # (out x bits / 32, in / group)
    return packed


def _compressed_tensors_config(lm: LM, scheme: Scheme) -> dict[str, Any]:
    inside = set(block_linears(lm.model).values())
    linears = {
        name: module for name, module in lm.model.named_modules() if isinstance(module, nn.Linear)
    }
    weights = {"num_bits": scheme.bits, "type": "int", "symmetric": scheme.symmetric}
    if scheme.group == WHOLE_ROW:
        weights |= {"strategy": "channel"}
    else:
        weights |= {"strategy": "group", "group_size": scheme.group}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": [name for name, module in linears.items() if module not in inside],
        # for transformers alone, which does it on the first forward pass anyway; 5.23 cannot load zeros otherwise
        "dequantize": True,
    }


_GPTQ_GROUPS = (
    WHOLE_ROW,
    16,
    32,
    64,
    128,
    256,
    512,
    1024,
)  # GPTQModel 7.6, TorchLinear.SUPPORTS_GROUP_SIZE


def _gptq(name: str, integers: Tensor, grid: QuantizationGrid, scheme: Scheme) -> dict[str, Tensor]:
    """The layout of AutoGPTQ and GPTQModel; it has its scales in float16.

    Symmetric grids are in version 1, which every reader knows and which stores each zero less 1; others are in
    version 2, which stores the zero itself, as version 1 has no place for a zero of 0.

    Source: github.com/AutoGPTQ/AutoGPTQ, nn_modules/qlinear; github.com/ModelCloud/GPTQModel 7.6, utils/model.py,
    convert_gptq_v1_to_v2_format_module.
    """
    out, inputs = integers.shape
    if scheme.group not in _GPTQ_GROUPS:
        raise InvalidInput(
            f"the format 'gptq' has groups of {', '.join(map(str, _GPTQ_GROUPS))}, not {scheme.group}"
        )
    if out % 32 or inputs % 32:
        raise InvalidInput(
            f"the format 'gptq' has layers of multiples of 32 only, but {name} is {out} x {inputs}"
        )
    scale = grid.scale.float()
    if not bool(((scale.half().float() - scale).abs() <= 1e-3 * scale.abs()).all()):
        raise InvalidInput(
            f"the scales of layer {name} do not fit into the float16 of the format 'gptq'"
        )
    zero = grid.zero - 1 if scheme.symmetric else grid.zero
    return {
        "qweight": pack(integers, grid.bits).T,  # (in x bits / 32, out)
        "qzeros": pack(zero.T, grid.bits),  # (in / group, out x bits / 32)
        "scales": scale.half().T,  # (in / group, out)
        "g_idx": torch.arange(inputs, dtype=torch.int32) // grid.group,
    }


def _gptq_config(lm: LM, scheme: Scheme) -> dict[str, Any]:
    (where,) = (name for name, module in lm.model.named_modules() if module is blocks(lm.model))
    return {
        "quant_method": "gptq",
        "checkpoint_format": "gptq" if scheme.symmetric else "gptq_v2",
        "bits": scheme.bits,
        "group_size": scheme.group,
        "sym": scheme.symmetric,
        "desc_act": False,
        "lm_head": False,
        "block_name_to_quantize": where,
        # for transformers alone; the kernels that it else takes at 4 bits on a CPU compute in bfloat16, fail in groups
        # of 16, and are wrong for whole rows with a zero (GPTQModel 7.6)
        "backend": "torch",
    }


FORMATS = {
    "compressed-tensors": Format(
        (2, 3, 4, 5, 6, 7, 8), _compressed_tensors, _compressed_tensors_config
    ),
    "gptq": Format((2, 3, 4, 8), _gptq, _gptq_config),
}
