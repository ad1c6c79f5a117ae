"""Encoded requests, kept in the cache: each task's are encoded once for a tokenizer."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary

import tokenizers
import torch
import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from interventions import cache
from interventions.aside import remove, scratch_folder
from interventions.criteria.engine.encoding import Encoded, Pair, encode
from interventions.files import file_digest, is_plain_file, whole_file
from interventions.tokenizer import save_tokenizer

_VERSION = 1  # of the form in which requests are stored
_MOST_BYTES = 2**30  # of a file of requests
_NAMES = ("contexts", "context_lengths", "context_of", "continuations", "continuation_lengths")
_DIGESTS: WeakKeyDictionary[PreTrainedTokenizerBase, str] = WeakKeyDictionary()


def encoded_requests(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]) -> list[Encoded]:
    """Return the ids of (context, continuation) texts; see ``encode``.

    They are kept in the folder `requests` of the cache, under a key that hashes the texts, the
    tokenizer and the version of the library that encodes. A damaged file is computed again, with a
    warning; where it cannot be written the work goes on
    without it. Of more than 1 GiB, those go that were used
    longest ago.

    Args:
        tokenizer: the model's.
        pairs: the requests of a task.

    Raises:
        InvalidInput: a context or a continuation has no token.
    """
    file = cache.folder() / "requests" / f"{_key(tokenizer, pairs)}.safetensors"
    stored = _load(file)
    if stored is not None:
        with suppress(OSError):
            os.utime(file)  # the order in which files go
        return stored
    encoded = encode(tokenizer, pairs)
    try:
        _save(file, encoded)
        cache.warn_if_others_may_write(cache.folder())
        _make_room(file.parent)
    except (OSError, SafetensorError) as error:  # the library has its own for a full disk
        reason = getattr(error, "strerror", None) or error
        warnings.warn(f"encoded requests are not kept: {reason}", stacklevel=2)
    return encoded


def _key(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]) -> str:
    facts = [_VERSION, transformers.__version__, tokenizers.__version__, _digest(tokenizer), pairs]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a hash of a tokenizer's files and class."""
    if tokenizer not in _DIGESTS:
        with scratch_folder() as folder:
            save_tokenizer(tokenizer, folder)
            files = [path for path in folder.rglob("*") if path.is_file()]
            _DIGESTS[tokenizer] = f"{type(tokenizer).__name__} {file_digest(files)}"
    return _DIGESTS[tokenizer]


def _save(file: Path, encoded: Sequence[Encoded]) -> None:
    """Write requests, each context once, with a checksum."""
    contexts: dict[tuple[int, ...], int] = {}
    context_of = [contexts.setdefault(tuple(each.context), len(contexts)) for each in encoded]
    continuations = [each.continuation for each in encoded]
    tensors = dict(
        zip(
            _NAMES,
            (*_flat(list(contexts)), torch.tensor(context_of), *_flat(continuations)),
            strict=True,
        )
    )
    with whole_file(file) as partial:
        save_file(tensors, partial, metadata={"sha256": _checksum(file.stem, tensors)})


def _load(file: Path) -> list[Encoded] | None:
    """Return stored requests; None if there are none, or, with a warning, if they are damaged."""
    if not os.path.lexists(file):
        return None
    tensors: dict[str, Tensor] = {}
    recorded: dict[str, str] = {}
    # a link may point anywhere, and to open a pipe would wait for its writer
    if is_plain_file(file):
        with suppress(SafetensorError, OSError), safe_open(file, "pt") as opened:
            recorded = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in _NAMES}
    if not tensors or recorded.get("sha256") != _checksum(file.stem, tensors):
        warnings.warn(f"encoded requests {file.name} are damaged: encoded again", stacklevel=3)
        return None
    contexts = _split(tensors["contexts"], tensors["context_lengths"])
    continuations = _split(tensors["continuations"], tensors["continuation_lengths"])
    return [
        Encoded(contexts[index], continuation)
        for index, continuation in zip(tensors["context_of"].tolist(), continuations, strict=True)
    ]


def _make_room(folder: Path) -> None:
    """Drop the files that were used longest ago, down to the most bytes that are kept."""
    files = []
    for path in folder.glob("*.safetensors"):
        with suppress(OSError):  # another process may drop it meanwhile
            files.append((path.lstat().st_mtime, path.lstat().st_size, path))
    excess = sum(size for _, size, _ in files) - _MOST_BYTES
    for _, size, path in sorted(files):
        if excess <= 0:
            return
        remove(path)
        excess -= size


def _flat(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return all ids in one row, and how many each row has."""
    ids = torch.tensor([token for row in rows for token in row], dtype=torch.int32)
    return ids, torch.tensor([len(row) for row in rows])


def _split(ids: Tensor, lengths: Tensor) -> list[list[int]]:
    flat, rows, start = ids.tolist(), [], 0
    for length in lengths.tolist():
        rows.append(flat[start : start + length])
        start += length
    return rows


def _checksum(key: str, tensors: dict[str, Tensor]) -> str:
    """Return a checksum of a file's content and key: one renamed to another's key has another."""
    hashed = hashlib.sha256(key.encode())
    for name in _NAMES:
        hashed.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        hashed.update(tensors[name].numpy().tobytes())
    return hashed.hexdigest()
