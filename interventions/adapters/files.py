"""Read an adapter's two files: the configuration and the factors; nothing of them runs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from interventions.adapters.config import CONFIG, LoraScale, read_scale
from interventions.errors import InvalidInput, shown
from interventions.files import read_plain
from interventions.small_json import json_object

WEIGHTS = "adapter_model.safetensors"
_PICKLE = "adapter_model.bin"
_MOST_WEIGHT_BYTES = 2**34  # rank 64 on every layer of a 70B model has 3 GB
_MOST_CONFIG_BYTES = 2**24  # transformers reads it whole
_MOST_SHOWN = 100  # characters of a name in the files
_FACTOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])\.weight")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@dataclass(frozen=True)
class Factors:
    """The adapter of one module: its weight changes by scaling x B A.

    Attributes:
        a: (rank, in), float32.
        b: (out, rank), float32.
        scaling: what the product is multiplied with.
    """

    a: Tensor
    b: Tensor
    scaling: float


@dataclass(frozen=True)
class AdapterFiles:
    """What an adapter's folder holds.

    Attributes:
        scale: what its configuration says.
        factors: by module, such as ``model.layers.0.self_attn.q_proj``.
        content: a hash of its two files, whatever the folder is called.
    """

    scale: LoraScale
    factors: dict[str, Factors]
    content: str


def content_of(folder: Path) -> str:
    """Return a hash of an adapter's two files.

    Raises:
        InvalidInput: one cannot be read, or is no plain file.
    """
    return _hash(*_read(folder))


def read_adapter(folder: Path) -> AdapterFiles:
    """Read an adapter from its folder.

    Raises:
        InvalidInput: a file is missing, a link, too large or damaged; it is no plain LoRA; or a
            number in it is not finite.
    """
    config_bytes, weight_bytes = _read(folder)
    scale = read_scale(json_object(config_bytes, CONFIG))
    try:
        tensors = load(weight_bytes)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InvalidInput(f"{WEIGHTS} is damaged: {shown(str(error), 150)}") from error
    pairs: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = _FACTOR.fullmatch(name)
        if match is None:
            raise InvalidInput(
                f"{WEIGHTS} has {shown(name, _MOST_SHOWN)}, which is no factor of plain LoRA"
                " (lora_A, lora_B): merge it with peft (merge_and_unload), and give the model's"
                " folder"
            )
        pairs.setdefault(match["module"], {})[match["factor"]] = tensor
    if not pairs:
        raise InvalidInput(f"{WEIGHTS} has no factors")
    factors = {module: _factors(module, pair, scale) for module, pair in pairs.items()}
    return AdapterFiles(scale, factors, _hash(config_bytes, weight_bytes))


def _read(folder: Path) -> tuple[bytes, bytes]:
    """Return the contents of the configuration and of the factors."""
    try:
        is_folder = folder.is_dir()
    except OSError as error:  # a name that is too long
        raise InvalidInput(f"it cannot be read: {error.strerror}") from error
    if not is_folder:
        raise InvalidInput("there is no such folder; one on the hub has to be downloaded first")
    if not (folder / WEIGHTS).exists() and (folder / _PICKLE).exists():
        raise InvalidInput(
            f"its factors are there only as a pickle ({_PICKLE}), which can hide code: save them as"
            " safetensors"
        )
    contents = []
    for name, most in ((CONFIG, _MOST_CONFIG_BYTES), (WEIGHTS, _MOST_WEIGHT_BYTES)):
        try:
            contents.append(read_plain(folder / name, most))
        except FileNotFoundError as error:
            raise InvalidInput(f"there is no {name}") from error
        except OSError as error:  # a link, a pipe, a folder, too large
            if (folder / name).is_symlink():
                raise InvalidInput(f"{name} is a link: copy what it leads to") from error
            raise InvalidInput(f"{name} cannot be read: {error.strerror or error}") from error
    return contents[0], contents[1]


def _hash(*contents: bytes) -> str:
    hashed = hashlib.sha256()
    for content in contents:
        hashed.update(hashlib.sha256(content).digest())
    return hashed.hexdigest()[:32]


def _factors(module: str, pair: dict[str, Tensor], scale: LoraScale) -> Factors:
    name = shown(module, _MOST_SHOWN)
    for factor in "AB":
        if factor not in pair:
            raise InvalidInput(f"{WEIGHTS} has no lora_{factor} of {name}")
    for tensor in pair.values():
        if tensor.dtype not in _DTYPES or tensor.dim() != 2:
            raise InvalidInput(f"the factors of {name} are no matrices of numbers with a point")
    a, b = pair["A"].float(), pair["B"].float()
    if not bool(a.isfinite().all()) or not bool(b.isfinite().all()):
        raise InvalidInput(f"the factors of {name} are not all finite")
    rank = scale.rank_of(module)
    if a.shape[0] != rank or b.shape[1] != rank:
        raise InvalidInput(
            f"the factors of {name} have ranks {a.shape[0]} and {b.shape[1]}, but {CONFIG} says"
            f" {rank}"
        )
    return Factors(a, b, scale.scaling_of(module))
