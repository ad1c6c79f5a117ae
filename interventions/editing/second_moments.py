"""Second moments of what down-projections see over a corpus: computed once, kept in a file."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from interventions import cache
from interventions.anatomy import blocks, down_projection, hidden_states, taps
from interventions.lm import LM, batches

_BATCH = 32  # texts
_MAX_TOKENS = 512  # of a text
_VERSION = 1


def second_moments(lm: LM, texts: Sequence[str], layers: Sequence[int]) -> dict[int, Tensor]:
    """Layer -> mean of k k' (in, in), float32, over the tokens of the texts; k is the down-projection's input.

    Kept under a key that hashes the weights, but those of later blocks, and the texts, so that other seeds, edits and
    compositions use them again. A damaged file is computed again, with a warning.

    Source: Meng et al. 2023, "Mass-Editing Memory in a Transformer", equation 14 (C_0) and section 4.3.
    """
    keys = _keys(lm, texts, layers)
    files = {
        layer: cache.folder() / "statistics" / f"{key}.safetensors" for layer, key in keys.items()
    }
    found = {layer: moment for layer, file in files.items() if (moment := _load(file)) is not None}
    missing = [layer for layer in layers if layer not in found]
    for layer, moment in (_compute(lm, texts, missing) if missing else {}).items():
        _save(files[layer], moment)
        found[layer] = moment
    return {layer: moment.to(lm.device) for layer, moment in found.items()}


@torch.no_grad()
def _compute(lm: LM, texts: Sequence[str], layers: Sequence[int]) -> dict[int, Tensor]:
    """All layers in one pass over the texts, which ends at the last of them."""
    sums: dict[str, Tensor] = {}
    tapped = {str(layer): down_projection(blocks(lm.model)[layer]) for layer in layers}
    tokens = 0

    def see(real: Tensor, name: str, inputs: Tensor) -> None:
        keys = inputs[real].float()
        if name not in sums:
            sums[name] = keys.new_zeros(keys.shape[1], keys.shape[1])
        sums[name].addmm_(keys.T, keys)

    for batch in tqdm(list(batches(texts, _BATCH)), desc="second moments", unit="batch", delay=5):
        encoded = lm.encode(batch, _MAX_TOKENS)
        real = encoded["attention_mask"].bool()
        tokens += int(real.sum())
        with taps(tapped, functools.partial(see, real)):
            hidden_states(lm.model, encoded, max(layers))
    return {layer: sums[str(layer)] / tokens for layer in layers}


def _keys(lm: LM, texts: Sequence[str], layers: Sequence[int]) -> dict[int, str]:
    """Of all weights but those of later blocks: what stands before a layer differs between architectures."""
    inside = [tensor for block in blocks(lm.model) for tensor in block.state_dict().values()]
    places = {tensor.data_ptr() for tensor in inside}
    hashed = hashlib.sha256(f"second moments {_VERSION} {_MAX_TOKENS}".encode())
    for text in texts:
        hashed.update(text.encode() + b"\0")
    _update(hashed, {n: t for n, t in lm.model.state_dict().items() if t.data_ptr() not in places})
    keys = {}
    for layer, block in enumerate(blocks(lm.model)[: max(layers) + 1]):
        _update(hashed, block.state_dict())
        keys[layer] = hashed.copy().hexdigest()[:32]
    return {layer: keys[layer] for layer in layers}


def _update(hashed: hashlib._Hash, state: Mapping[str, Tensor]) -> None:
    for name, weight in sorted(state.items()):
        hashed.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        hashed.update(_bytes(weight))


def _checksum(moment: Tensor) -> str:
    return hashlib.sha256(
        f"{moment.dtype} {tuple(moment.shape)}".encode() + _bytes(moment)
    ).hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _save(file: Path, moment: Tensor) -> None:
    """Written aside, then renamed, with a checksum of the values."""
    file.parent.mkdir(parents=True, exist_ok=True)
    moment = moment.cpu().contiguous()
    handle, aside = tempfile.mkstemp(dir=file.parent, prefix=".writing-")
    os.close(handle)
    save_file({"moment": moment}, aside, metadata={"sha256": _checksum(moment)})
    os.replace(aside, file)


def _load(file: Path) -> Tensor | None:
    if not file.exists():
        return None
    try:
        with safe_open(file, "pt") as opened:
            moment: Tensor = opened.get_tensor("moment")
            recorded = opened.metadata()["sha256"]
    except (SafetensorError, KeyError, OSError) as error:
        recorded, moment = str(error), torch.empty(0)
    if _checksum(moment) == recorded:
        return moment
    warnings.warn(f"second moments {file.name} are damaged: computed again", stacklevel=3)
    return None
