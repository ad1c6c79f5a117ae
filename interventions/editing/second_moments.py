"""Second moments of what down-projections see over a corpus, computed once and kept in a file."""

from __future__ import annotations

import hashlib
import json
import os
import random
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
from interventions.loops import iterations
from interventions.partial_pass import hidden_states
from interventions.token_taps import token_taps
from interventions.training import characters

_BATCH = 32  # texts
_MAX_TOKENS = 512  # of a text
_ROWS = 2048  # tokens whose keys are held in float64 at once
_VERSION = 3  # of the form in which moments are stored
_ORIGIN_FACTS = ("_name_or_path", "architectures", "transformers_version", "dtype", "use_cache")


def second_moments(
    lm: LM, texts: Sequence[str], layers: Sequence[int], tokens_per_input: float = 0.0
) -> dict[int, Tensor]:
    """Return, by layer, the mean of k k' over tokens, with k the input of its down-projection.

    Results are stored in the cache folder, under a key that hashes the texts, the configuration,
    the tokenizer, and all weights but those of blocks after the layer: other seeds, edits and
    compositions with the same weights use them again. A damaged file is computed again, with a
    warning. They count in the cache's size: those used longest ago are dropped.

    Args:
        lm: the model; not changed.
        texts: the corpus; each is cut to 512 tokens, or to what the model can read.
        layers: indices of blocks.
        tokens_per_input: of the texts, drawn at random but always alike, so many are used that they
            have this many tokens for each input of the widest of the down-projections; 0: all.

    Returns:
        Layer -> (in, in), float64, on the CPU. The keys are those of the model's passes; their
        products are added up in float64, since the inputs of an MLP differ so much in size that
        rounding to float32 moves what MEMIT solves for by a thousandth (testbed; in float64 by a
        millionth).

    Source: Meng et al. 2023, "Mass-Editing Memory in a Transformer", equation 14 (C_0) and
    section 4.3.
    """
    if tokens_per_input:
        texts = _enough(lm, texts, tokens_per_input * _most_inputs(lm, layers))
    if lm.device.type == "meta":  # a rehearsal, in which nothing is computed
        return {layer: _compute(lm, texts, layer) for layer in layers}
    folder = cache.folder() / cache.STATISTICS
    cache.warn_if_others_may_write(cache.folder())
    files = {
        layer: folder / f"{key}.safetensors" for layer, key in _keys(lm, texts, layers).items()
    }
    moments: dict[int, Tensor] = {}
    for layer, file in files.items():
        stored = _load(file)
        if stored is not None:
            moments[layer] = stored
            with suppress(OSError):  # of a cache that is only read
                os.utime(file)
    missing = [layer for layer in layers if layer not in moments]
    for layer in missing:
        # one at a time: on a GPU that of 14,336 inputs takes 1.6 GB
        moments[layer] = _compute(lm, texts, layer)
        _save(files[layer], moments[layer])
    cache.bound_statistics(files.values())
    return moments


@torch.no_grad()
def _compute(lm: LM, texts: Sequence[str], layer: int) -> Tensor:
    """Compute a layer's moment, in a pass over the texts that ends there; on the CPU."""
    matrix = down_projection(blocks(lm.model)[layer])
    shape = (matrix.in_features, matrix.in_features)
    total = torch.zeros(shape, dtype=torch.float64, device=lm.device)
    tokens = 0

    def see(name: str, inputs: Tensor) -> None:
        for part in inputs.split(_ROWS):  # (tokens, in), without padding
            keys = part.double()
            total.addmm_(keys.T, keys)

    description = f"second moments of layer {layer}"
    passes = tqdm(list(batches(texts, _BATCH)), desc=description, unit="batch", delay=5)
    for batch in iterations(passes, characters):
        encoded = lm.encode(batch, _most_tokens(lm))
        real = encoded["attention_mask"].bool()
        tokens += int(real.sum())
        with token_taps({"down": matrix}, real, see):
            hidden_states(lm.model, encoded, layer)
    return (total / tokens).cpu()


def _most_tokens(lm: LM) -> int:
    return min(_MAX_TOKENS, context_length(lm.model) or _MAX_TOKENS)


def _most_inputs(lm: LM, layers: Sequence[int]) -> int:
    return max(down_projection(blocks(lm.model)[layer]).in_features for layer in layers)


def _enough(lm: LM, texts: Sequence[str], tokens: float) -> list[str]:
    """Return texts with at least so many tokens in all, in their order; all where they have fewer.

    They are drawn at random, by a seed of their own: other runs draw the same.
    """
    order = random.Random(0).sample(range(len(texts)), len(texts))
    chosen: list[int] = []
    count = 0
    for indices in batches(order, _BATCH):
        ids = lm.tokenizer(
            [texts[index] for index in indices], truncation=True, max_length=_most_tokens(lm)
        )["input_ids"]
        for index, row in zip(indices, ids, strict=True):
            if count < tokens:
                chosen.append(index)
                count += len(row)
        if count >= tokens:
            break
    return [texts[index] for index in sorted(chosen)]


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
    """Write a moment with a checksum of its values; where that cannot be, go on without."""
    moment = moment.cpu().contiguous()
    checksum = _checksum(file.stem, moment)
    try:
        with whole_file(file) as partial:
            save_file({"moment": moment}, partial, metadata={"sha256": checksum})
    except (OSError, SafetensorError) as error:  # the library has its own for a full disk
        reason = getattr(error, "strerror", None) or error
        warnings.warn(f"second moments are not kept: {reason}", stacklevel=2)


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
