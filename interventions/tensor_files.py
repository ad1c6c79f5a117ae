"""Write safetensors files in one pass: what is written is hashed as it goes to the disk.

The library's own `save_file` hands all tensors to the CPU before it writes the first, and a file is
then read again to hash it. Here it is one tensor at a time. The bytes are those of `save_file`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import transformers.modeling_utils
from safetensors.torch import save_file
from torch import Tensor

# in the order in which a file has its tensors, with the names that the format gives them
_DTYPES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_PLACES = {dtype: place for place, dtype in enumerate(_DTYPES)}
_ALIGNMENT = 8  # bytes of which the header has a multiple
_PART = 2**24  # bytes that are hashed and written at once
_WRITER = "safe_save_file"  # what transformers calls to write a weight file
_checksums: ContextVar[dict[Path, str] | None] = ContextVar("checksums", default=None)


def write_tensors(
    tensors: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> str:
    """Write a safetensors file; return its sha256, as 64 hexadecimal digits.

    Args:
        tensors: by name, on any device.
        path: the file; one of that name is replaced.
        metadata: texts for the file's header.

    Raises:
        OSError: there is no room or no permission.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> checksum = write_tensors({"weight": torch.ones(2, 3)}, path)
        >>> checksum == hashlib.sha256(path.read_bytes()).hexdigest()
        True
    """
    is_known = all(
        tensor.dtype in _DTYPES and tensor.layout is torch.strided and not tensor.is_meta
        for tensor in tensors.values()
    )
    # of what is not known here the library says whether it can be written, and how
    if not is_known or len(metadata or ()) > 1 or sys.byteorder != "little":
        save_file(dict(tensors), path, metadata=None if metadata is None else dict(metadata))
        with Path(path).open("rb") as written:
            checksum = hashlib.file_digest(written, "sha256").hexdigest()
    else:
        checksum = _write(tensors, Path(path), metadata)
    checksums = _checksums.get()
    if checksums is not None:
        checksums[Path(path)] = checksum
    return checksum


@contextmanager
def recorded_checksums() -> Iterator[dict[Path, str]]:
    """Give a dict that gets the sha256 of every file that ``write_tensors`` writes in the block."""
    checksums: dict[Path, str] = {}
    token = _checksums.set(checksums)
    try:
        yield checksums
    finally:
        _checksums.reset(token)


@contextmanager
def one_pass_saving() -> Iterator[None]:
    """Have transformers' ``save_pretrained`` write weights by ``write_tensors`` in the block."""
    # a version that writes otherwise does so, and its files are hashed when they are there
    patched = hasattr(transformers.modeling_utils, _WRITER)
    writer: Any = (
        mock.patch.object(transformers.modeling_utils, _WRITER, write_tensors)
        if patched
        else nullcontext()
    )
    with writer:
        yield


def _write(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None) -> str:
    names = sorted(tensors, key=lambda name: (_PLACES[tensors[name].dtype], name.encode()))
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        tensor, start = tensors[name], end
        end = start + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    hashed = hashlib.sha256()
    with path.open("wb") as file:
        for part in (len(text).to_bytes(_ALIGNMENT, "little"), text):
            hashed.update(part)
            file.write(part)
        for name in names:
            flat = tensors[name].detach().cpu().contiguous().flatten()
            content = flat.view(torch.uint8).numpy().data
            for start in range(0, len(content), _PART):
                hashed.update(content[start : start + _PART])
                file.write(content[start : start + _PART])
    return hashed.hexdigest()
