"""The layouts of packed checkpoints: the tensors in place of a weight, and the config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from interventions.anatomy import block_linears, blocks
from interventions.errors import InvalidInput
from interventions.quantization_grid import QuantizationGrid

if TYPE_CHECKING:
    from interventions.lm import LM

WHOLE_ROW = -1  # as the group of a scheme
# GPTQModel 7.6, TorchLinear.SUPPORTS_GROUP_SIZE
_GPTQ_GROUPS = (WHOLE_ROW, 16, 32, 64, 128, 256, 512, 1024)
_SCALE_TOLERANCE = 1e-3  # relative: as far as float16 may move a scale


@dataclass(frozen=True)
class Scheme:
    """What the grids of all layers have in common.

    Attributes:
        bits: width of the integers.
        group: inputs that share a scale; WHOLE_ROW: all of a layer's.
        symmetric: whether every zero is 2^(bits - 1).
        ordered: whether the groups of a layer are of inputs that need not be consecutive.
    """

    bits: int
    group: int
    symmetric: bool
    ordered: bool = False


@dataclass(frozen=True)
class Format:
    """One kind of packed checkpoint.

    Attributes:
        widths: the bits that it can hold.
        pack: (layer's name, integers (out, in), grid, scheme) -> the tensors that replace the
            layer's weight, by name.
        scales: the dtype that scales are written in.
        config: (model, scheme) -> ``quantization_config`` in ``config.json``.
    """

    widths: tuple[int, ...]
    pack: Callable[[str, Tensor, QuantizationGrid, Scheme], dict[str, Tensor]]
    config: Callable[[LM, Scheme], dict[str, Any]]
    scales: torch.dtype = torch.float32

    def written(self, grid: QuantizationGrid) -> QuantizationGrid:
        """Return a layer's grid as a reader finds it, with scales of the format's dtype."""
        return replace(grid, scale=grid.scale.to(self.scales).float())


def pack(integers: Tensor, bits: int) -> Tensor:
    """Pack integers as one stream of bits per row, lowest bit first.

    With 3, 5, 6 and 7 bits an integer may begin in one word and end in the next. Both formats
    pack so.

    Args:
        integers: (rows, n), each from 0 to 2^bits - 1.
        bits: width of each.

    Returns:
        int32 (rows, ceil(n x bits / 32)).

    Example:
        >>> pack(torch.tensor([[1, 2, 3]]), 4)  # 1 + 2 x 16 + 3 x 256
        tensor([[801]], dtype=torch.int32)
    """
    values = integers.to("cpu", torch.uint8).numpy()
    stream = (values[:, :, None] >> np.arange(bits, dtype=np.uint8) & 1).reshape(len(values), -1)
    stream = np.pad(stream, ((0, 0), (0, -stream.shape[1] % 32)))
    return torch.from_numpy(np.packbits(stream, axis=1, bitorder="little").view(np.int32))


def _compressed_tensors(
    name: str, integers: Tensor, grid: QuantizationGrid, scheme: Scheme
) -> dict[str, Tensor]:
    """Pack a layer in the format "pack-quantized".

    Its integers are signed and packed with 2^(bits - 1) added, which gives the grid's own.

    Source: github.com/vllm-project/compressed-tensors 0.18 and later, compressors/pack_quantized
    (before, widths that do not divide 32 were padded).

    Raises:
        InvalidInput: a group is not of consecutive inputs, which few readers of this format know.
    """
    if grid.input_groups is not None:
        raise InvalidInput(
            f"the format 'compressed-tensors' has groups of consecutive inputs, but those of layer"
            f" {name} are in activation order: quantize with gptq(static_groups=True), or export"
            " with format='gptq'"
        )
    tensors = {
        "weight_packed": pack(integers, grid.bits),  # (out, in x bits / 32)
        # (out, in / group); in the model's own dtype it would move the weights
        "weight_scale": grid.scale.float(),
        "weight_shape": torch.tensor(integers.shape),
    }
    if not scheme.symmetric:
        zero_point = pack(grid.zero.T, grid.bits).T  # (out x bits / 32, in / group)
        tensors["weight_zero_point"] = zero_point
    return tensors


def _compressed_tensors_config(lm: LM, scheme: Scheme) -> dict[str, Any]:
    packed_layers = {matrix.module for matrix in block_linears(lm.model).values()}
    ignored = [
        name
        for name, module in lm.model.named_modules()
        if isinstance(module, nn.Linear) and module not in packed_layers
    ]
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
        "ignore": ignored,
        # for transformers alone, which does it on the first forward pass anyway; 5.23 cannot load
        # zeros otherwise
        "dequantize": True,
    }


def _gptq(name: str, integers: Tensor, grid: QuantizationGrid, scheme: Scheme) -> dict[str, Tensor]:
    """Pack a layer in the layout of AutoGPTQ and GPTQModel, with scales in float16.

    ``g_idx`` says which group each input is of.

    Symmetric grids are in version 1, which every reader knows and which stores each zero less 1;
    others are in version 2, which stores the zero itself, as version 1 has no place for a zero
    of 0.

    Source: github.com/AutoGPTQ/AutoGPTQ, nn_modules/qlinear; github.com/ModelCloud/GPTQModel 7.6,
    utils/model.py, convert_gptq_v1_to_v2_format_module.
    """
    out, inputs = integers.shape
    if scheme.group not in _GPTQ_GROUPS:
        groups = ", ".join(map(str, _GPTQ_GROUPS))
        raise InvalidInput(f"the format 'gptq' has groups of {groups}, not {scheme.group}")
    if out % 32 or inputs % 32:
        raise InvalidInput(
            f"the format 'gptq' has layers of multiples of 32 only, but {name} is {out} x {inputs}"
        )
    scale = grid.scale.float()
    rounding = (scale.half().float() - scale).abs()
    if not bool((rounding <= _SCALE_TOLERANCE * scale.abs()).all()):
        raise InvalidInput(
            f"the scales of layer {name} do not fit into the float16 of the format 'gptq'"
        )
    zero = grid.zero - 1 if scheme.symmetric else grid.zero
    groups_of_inputs = grid.input_groups
    if groups_of_inputs is None:
        groups_of_inputs = torch.arange(inputs) // grid.group
    return {
        "qweight": pack(integers, grid.bits).T,  # (in x bits / 32, out)
        "qzeros": pack(zero.T, grid.bits),  # (in / group, out x bits / 32)
        "scales": scale.half().T,  # (in / group, out)
        "g_idx": groups_of_inputs.to(torch.int32),
    }


def _gptq_config(lm: LM, scheme: Scheme) -> dict[str, Any]:
    block_list = blocks(lm.model)
    (blocks_name,) = (name for name, module in lm.model.named_modules() if module is block_list)
    return {
        "quant_method": "gptq",
        "checkpoint_format": "gptq" if scheme.symmetric else "gptq_v2",
        "bits": scheme.bits,
        "group_size": scheme.group,
        "sym": scheme.symmetric,
        "desc_act": scheme.ordered,
        "lm_head": False,
        "block_name_to_quantize": blocks_name,
        # for transformers alone; the kernels that it otherwise takes at 4 bits on a CPU compute in
        # bfloat16, fail in groups of 16, and are wrong for whole rows with a zero (GPTQModel 7.6)
        "backend": "torch",
    }


FORMATS = {
    "compressed-tensors": Format(
        (2, 3, 4, 5, 6, 7, 8), _compressed_tensors, _compressed_tensors_config
    ),
    "gptq": Format((2, 3, 4, 8), _gptq, _gptq_config, scales=torch.float16),
}
