"""The keys that editors have written into down-projections, which travel with a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from interventions.errors import InvalidInput, printable_line, shown
from interventions.tensor_files import write_tensors

_FILE = "edited_keys.safetensors"
_PREFIX = "edited_keys."  # of a tensor's name, before the block's index


def save_edited_keys(keys: Mapping[int, Tensor], folder: Path) -> None:
    """Write the keys (in, edits) of a model's blocks into a file of their own in its folder."""
    tensors = {f"{_PREFIX}{layer}": key.contiguous() for layer, key in keys.items()}
    write_tensors(tensors, folder / _FILE)


def load_edited_keys(folder: Path, device: str | torch.device = "cpu") -> dict[int, Tensor]:
    """Return the keys that ``save_edited_keys`` wrote; none where it wrote nothing.

    Args:
        folder: of the model.
        device: where they are to be.

    Returns:
        Index of a block -> (in, edits), float32.

    Raises:
        InvalidInput: the file is damaged, or holds something else.
    """
    path = folder / _FILE
    if not path.exists():
        return {}
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InvalidInput(
            f"cannot read {_FILE} of {shown(str(folder), 150)}: {printable_line(str(error), 100)}"
        ) from error
    keys = {}
    for name, tensor in tensors.items():
        index = name.removeprefix(_PREFIX)
        is_key = tensor.ndim == 2 and tensor.dtype == torch.float32 and index.isdecimal()
        if not is_key or not bool(tensor.isfinite().all()):
            raise InvalidInput(
                f"{_FILE} of {shown(str(folder), 150)} must hold finite float32 matrices named"
                f" {_PREFIX}<block>, but has {shown(name, 60)}"
            )
        keys[int(index)] = tensor.to(device)
    return keys
