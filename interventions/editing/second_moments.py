"""Second moments of what down-projections see over a corpus, computed once and kept in a file."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from interventions import cache
from interventions.anatomy import blocks, context_length, down_projection, text_config
from interventions.files import is_plain_file, whole_file
from interventions.lm import LM, batches
from interventions.partial_pass import hidden_states
from interventions.token_taps import token_taps

_BATCH = 32  # texts
_MAX_TOKENS = 512  # of a text
_VERSION = 2
_ORIGIN_FACTS = ("_name_or_path", "architectures", "transformers_version", "dtype", "use_cache")


def second_moments(lm: LM, texts: Sequence[str], layers: Sequence[int]) -> dict[int, Tensor]:
    """Return, by layer, the mean of k k' over tokens, with k the input of its down-projection.

    Results are stored in the cache folder, under a key that hashes the texts, the configuration,
    the tokenizer, and all weights but those of blocks after the layer: other seeds, edits and
    compositions with the same weights use them again. A damaged file is computed again, with a
    warning.

    Args:
        lm: the model; not changed.
        texts: the corpus; each is cut to 512 tokens, or to what the model can read.
        layers: indices of blocks.

    Returns:
        Layer -> (in, in), float32, on the model's device.

    Source: Meng et al. 2023, "Mass-Editing Memory in a Transformer", equation 14 (C_0) and
    section 4.3.
    """
    folder = cache.folder() / "statistics"
    folder.mkdir(parents=True, exist_ok=True)
    cache.warn_if_others_may_write(cache.folder())
    files = {
        layer: folder / f"{key}.safetensors" for layer, key in _keys(lm, texts, layers).items()
    }
    moments: dict[int, Tensor] = {}
    for layer, file in files.items():
        stored = _load(file)
        if stored is not None:
            moments[layer] = stored
    missing = [layer for layer in layers if layer not in moments]
    for layer, moment in (_compute(lm, texts, missing) if missing else {}).items():
        _save(files[layer], moment)
        moments[layer] = moment
    return {layer: moment.to(lm.device) for layer, moment in moments.items()}


@torch.no_grad()
def _compute(lm: LM, texts: Sequence[str], layers: Sequence[int]) -> dict[int, Tensor]:
    """Compute all layers in one pass over the texts, which ends at the last of the layers."""
    sums: dict[str, Tensor] = {}
    tapped = {str(layer): down_projection(blocks(lm.model)[layer]) for layer in layers}
    most_tokens = min(_MAX_TOKENS, context_length(lm.model) or _MAX_TOKENS)
    tokens = 0

    def see(name: str, inputs: Tensor) -> None:
        keys = inputs.float()  # (tokens, in), without padding
        if name not in sums:
            sums[name] = keys.new_zeros(keys.shape[1], keys.shape[1])
        sums[name].addmm_(keys.T, keys)

    for batch in tqdm(list(batches(texts, _BATCH)), desc="second moments", unit="batch", delay=5):
        encoded = lm.encode(batch, most_tokens)
        real = encoded["attention_mask"].bool()
        tokens += int(real.sum())
        with token_taps(tapped, real, see):
            hidden_states(lm.model, encoded, max(layers))
    return {layer: sums[str(layer)] / tokens for layer in layers}


def _keys(lm: LM, texts: Sequence[str], layers: Sequence[int]) -> dict[int, str]:
    """Return each layer's key: a hash of the texts and of all weights but those of later blocks."""
    in_blocks = [tensor for block in blocks(lm.model) for tensor in block.state_dict().values()]
    block_pointers = {tensor.data_ptr() for tensor in in_blocks}
    hashed = hashlib.sha256(f"second moments {_VERSION} {_MAX_TOKENS}".encode())
    for text in texts:
        hashed.update(text.encode() + b"\0")
    # equal weights compute another function with another window, or of other tokens
    facts = [_computing_facts(lm.model), sorted(lm.tokenizer.get_vocab().items())]
    facts.append(lm.tokenizer(list(texts[:_BATCH]))["input_ids"])
    hashed.update(json.dumps(facts, sort_keys=True, default=str).encode())
    # everything outside the blocks: what stands before the first differs between architectures
    outside = {
        name: tensor
        for name, tensor in lm.model.state_dict().items()
        if tensor.data_ptr() not in block_pointers
    }
    _update(hashed, outside)
    keys = {}
    for layer, block in enumerate(blocks(lm.model)[: max(layers) + 1]):
        _update(hashed, block.state_dict())
        keys[layer] = hashed.copy().hexdigest()[:32]
    return {layer: keys[layer] for layer in layers}


def _computing_facts(model: PreTrainedModel) -> dict[str, Any]:
    """Return a text model's configuration, without what says only where it came from."""
    facts: dict[str, Any] = text_config(model).to_dict()
    return {name: value for name, value in facts.items() if name not in _ORIGIN_FACTS}


def _update(hashed: hashlib._Hash, state: Mapping[str, Tensor]) -> None:
    for name, weight in sorted(state.items()):
        hashed.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        hashed.update(_bytes(weight))


def _checksum(key: str, moment: Tensor) -> str:
    """Return a checksum of a moment and its key: a file renamed to another's key has another."""
    header = f"{key}{moment.dtype} {tuple(moment.shape)}".encode()
    return hashlib.sha256(header + _bytes(moment)).hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _save(file: Path, moment: Tensor) -> None:
    """Write a moment with a checksum of its values."""
    moment = moment.cpu().contiguous()
    with whole_file(file) as partial:
        save_file({"moment": moment}, partial, metadata={"sha256": _checksum(file.stem, moment)})


def _load(file: Path) -> Tensor | None:
    """Return a stored moment; None if there is none, or, with a warning, if it is damaged."""
    if not os.path.lexists(file):
        return None
    recorded: dict[str, str] = {}
    moment = torch.empty(0)
    # a link may point anywhere, and to open a pipe would wait for its writer
    if is_plain_file(file):
        with suppress(SafetensorError, KeyError, OSError), safe_open(file, "pt") as opened:
            moment = opened.get_tensor("moment")
            recorded = opened.metadata() or {}
    if recorded.get("sha256") == _checksum(file.stem, moment):
        return moment
    # an older version's checksum does not bind the key
    reason = (
        "do not say whose they are"
        if recorded.get("sha256") == _checksum("", moment)
        else "are damaged"
    )
    warnings.warn(f"second moments {file.name} {reason}: computed again", stacklevel=3)
    return None
