"""Write the packed form of a quantized model, which inference servers load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from interventions.anatomy import block_linears, blocks
from interventions.errors import InvalidInput
from interventions.files import whole_folder
from interventions.packed_formats import FORMATS, WHOLE_ROW, Scheme
from interventions.quantization_grid import QuantizationGrid

if TYPE_CHECKING:
    from torch import Tensor

    from interventions.lm import LM


def export(lm: LM, folder: Path, format: str) -> None:
    """Write a model with the linear layers of its blocks packed, and its tokenizer.

    All other weights are written as they are. The folder appears only when it is complete.

    Args:
        lm: a model whose blocks' linear layers all lie on grids of one width and one group size.
        folder: a new or an empty one.
        format: "compressed-tensors" or "gptq".

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
    for name, linear in block_linears(lm.model).items():
        grid = lm.grids[name]
        integers = grid.integers(state.pop(f"{full_names[linear]}.weight"))
        for key, tensor in packed_format.pack(name, integers, grid, scheme).items():
            state[f"{full_names[linear]}.{key}"] = tensor.cpu().contiguous()

    folder = folder.resolve()
    with whole_folder(folder.parent) as aside:
        complete = aside / folder.name
        lm.model.save_pretrained(complete, state_dict=state)
        lm.tokenizer.save_pretrained(complete)
        config = json.loads((complete / "config.json").read_text())
        config["quantization_config"] = packed_format.config(lm, scheme)
        (complete / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        complete.rename(folder)


def common_scheme(lm: LM) -> Scheme:
    """Return what the grids of all layers have in common.

    Raises:
        InvalidInput: a layer is on no grid, its weights have left it, the layers' grids differ, or
            a block has weights outside its linear layers.
    """
    for name, weight in blocks(lm.model).named_parameters():
        # readers take experts, which are one such weight here, for linear layers
        if weight.dim() > 2:
            raise InvalidInput(
                f"{type(lm.model).__name__} cannot be exported: "
                f"{name} is not a linear layer's weight"
            )
    layers = block_linears(lm.model)
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
    return Scheme(bits, group, symmetric)


def _packable_grid(grid: QuantizationGrid | None, name: str, weight: Tensor) -> QuantizationGrid:
    """Return a layer's grid if its weights lie on it and its zeros are among its integers."""
    if grid is None:
        raise InvalidInput(
            f"layer {name} is not quantized: apply rtn, gptq or awq before the export"
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
