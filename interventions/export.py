"""Write the packed form of a quantized model, which inference servers load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from interventions.anatomy import block_linears
from interventions.aside import whole_folder
from interventions.errors import InvalidInput
from interventions.packed_formats import FORMATS, WHOLE_ROW, Scheme
from interventions.quantization_grid import QuantizationGrid

if TYPE_CHECKING:
    from torch import Tensor

    from interventions.lm import LM


def export(lm: LM, folder: Path, format: str) -> float:
    """Write a model with the linear layers of its blocks packed, and its tokenizer.

    All other weights are written as they are. The folder appears only when it is complete.

    Args:
        lm: a model whose blocks' linear layers all lie on grids of one width and one group size.
        folder: a new or an empty one.
        format: "compressed-tensors" or "gptq".

    Returns:
        The largest difference between a weight that was packed and what the packed form says it is
        (scale x (integer - zero), in the model's dtype): 0 where scales are written in float32.

    Raises:
        InvalidInput: an unknown format, a folder with something in it, or a model that the format
            cannot hold; nothing was written.
    """
    if format not in FORMATS:
        raise InvalidInput(f"no export format is named {format!r}; known: {', '.join(FORMATS)}")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InvalidInput(
            f"cannot export to {str(folder)!r}: it exists and is not an empty folder"
        )
    packed_format, scheme = FORMATS[format], common_scheme(lm)
    if scheme.bits not in packed_format.widths:
        widths = ", ".join(map(str, packed_format.widths))
        raise InvalidInput(
            f"the format {format!r} has {widths} bits, but the model's grids have {scheme.bits}"
        )
    state = lm.model.state_dict()
    full_names = {module: name for name, module in lm.model.named_modules()}
    largest_difference = 0.0
    for name, matrix in block_linears(lm.model).items():
        grid, layer_name = lm.grids[name], full_names[matrix.module]
        weight = state.pop(f"{layer_name}.weight")
        integers = grid.stored_integers(weight)
        assert integers is not None, "common_scheme has checked it"
        for key, tensor in packed_format.pack(name, integers, grid, scheme).items():
            state[f"{layer_name}.{key}"] = tensor.cpu().contiguous()
        written = packed_format.written(grid).values(integers).to(weight.dtype)
        difference = float((written.float() - weight.float()).abs().max())
        largest_difference = max(largest_difference, difference)

    folder = folder.resolve()
    with whole_folder(folder.parent) as aside:
        complete = aside / folder.name
        lm.model.save_pretrained(complete, state_dict=state)
        lm.tokenizer.save_pretrained(complete)
        config = json.loads((complete / "config.json").read_text())
        config["quantization_config"] = packed_format.config(lm, scheme)
        (complete / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        complete.rename(folder)
    return largest_difference


def common_scheme(lm: LM) -> Scheme:
    """Return what the grids of all layers have in common.

    Raises:
        InvalidInput: a layer is on no grid, its weights have left it, the layers' grids differ, or
            a block has weight matrices that are no linear layer's.
    """
    layers = block_linears(lm.model)
    for name, matrix in layers.items():
        # readers take fused experts and a Conv1D, which stores (in, out), for linear layers
        if not isinstance(matrix.module, nn.Linear):
            raise InvalidInput(
                f"{type(lm.model).__name__} cannot be exported: {name} is no linear layer's, but"
                f" part of a {type(matrix.module).__name__}"
            )
    grids = {
        name: _packable_grid(lm.grids.get(name), name, linear.weight)
        for name, linear in layers.items()
    }
    whole_rows = all(grids[name].group == linear.in_features for name, linear in layers.items())
    first_layers: dict[tuple[int, int], str] = {}  # (bits, group) -> the first layer that has them
    for name, grid in grids.items():
        first_layers.setdefault((grid.bits, WHOLE_ROW if whole_rows else grid.group), name)
    if len(first_layers) > 1:
        differences = ", ".join(
            f"{name} has {bits} bits in groups of {group}"
            for (bits, group), name in first_layers.items()
        )
        raise InvalidInput(
            f"a packed checkpoint has one width and one group size, but {differences}"
        )
    ((bits, group),) = first_layers
    symmetric = all(bool((grid.zero == 2 ** (bits - 1)).all()) for grid in grids.values())
    ordered = any(grid.input_groups is not None for grid in grids.values())
    return Scheme(bits, group, symmetric, ordered)


def _packable_grid(grid: QuantizationGrid | None, name: str, weight: Tensor) -> QuantizationGrid:
    """Return a layer's grid if its weights lie on it and its zeros are among its integers."""
    if grid is None:
        raise InvalidInput(
            f"layer {name} is not quantized: apply rtn, gptq or awq before the export"
        )
    if grid.real_zero:
        raise InvalidInput(
            f"layer {name} has real zeros, as of hqq, and packed forms have integers only: quantize"
            " with rtn, gptq or awq, or keep the model dense"
        )
    if not grid.holds(weight):
        raise InvalidInput(
            f"the weights of layer {name} have left their {grid.bits}-bit grid: quantize them again"
        )
    whole = grid.zero == grid.zero.round()
    within = (grid.zero >= 0) & (grid.zero < 2**grid.bits)
    if not bool((whole & within).all()):
        raise InvalidInput(
            f"layer {name} has zeros that are not among its integers, 0 to {2**grid.bits - 1}"
        )
    return grid
