"""The way to a backend and back: a copy of the model, token ids, weights and grids."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from interventions.anatomy import block_linears, blocks
from interventions.aside import scratch_folder
from interventions.lm import LM
from interventions.quantization_grid import QuantizationGrid


@contextlib.contextmanager
def saved_copy(lm: LM) -> Iterator[Path]:
    """Give a temporary folder with the model; every backend reads at least its configuration."""
    with scratch_folder() as folder:
        lm.save(folder)
        yield folder


def token_ids(lm: LM, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, without padding."""
    return [lm.tokenizer.encode(text) for text in texts]


def bring_back(lm: LM, weights: Mapping[str, Tensor], grids: Mapping[str, QuantizationGrid]) -> LM:
    """Copy a backend's weights into the model, rounded to their grids where there are any.

    Args:
        lm: the model, changed in place.
        weights: by name in the list of blocks ("0.mlp.down_proj.weight"); others keep theirs.
        grids: by layer ("0.mlp.down_proj"); empty after pruning.

    Returns:
        ``lm``.
    """
    for name, parameter in blocks(lm.model).named_parameters():
        if name.removesuffix(".weight") not in grids and name in weights:
            parameter.copy_(weights[name])
    layers = block_linears(lm.model)
    for name, grid in grids.items():
        values = weights[f"{name}.weight"].to(lm.device)
        # copied: the backend's tensors may be views of what else it holds
        scale, zero = grid.scale.clone(), grid.zero.clone()
        own_grid = replace(grid, scale=scale, zero=zero).to(lm.device)
        lm.quantize(name, layers[name].weight, own_grid, values)
    return lm
