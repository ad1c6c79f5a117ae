"""Safetensors files that are hashed while they are written."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from interventions.lm import LM
from interventions.tensor_files import recorded_checksums, write_tensors

DTYPES = (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
    torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2,
)  # fmt: skip


def of_every_dtype() -> dict[str, Tensor]:
    """Two tensors of each, in no order; names with quotes, line ends and é."""
    bits = torch.arange(30).reshape(5, 6) % 2
    named = {f'"{dtype}\n é {name}': bits.to(dtype, copy=True) for name in "ba" for dtype in DTYPES}
    return {**named, "scalar": torch.tensor(2.0), "empty": torch.zeros(0, 3)}


@pytest.mark.parametrize(
    "metadata", [None, {}, {"format": "pt"}, {"format": "pt", "other": "text"}]
)
def test_the_bytes_are_those_of_the_library(
    metadata: dict[str, str] | None, tmp_path: Path
) -> None:
    tensors = of_every_dtype()
    checksum = write_tensors(tensors, tmp_path / "ours", metadata)
    save_file(tensors, tmp_path / "library", metadata)
    content = (tmp_path / "ours").read_bytes()
    assert checksum == hashlib.sha256(content).hexdigest()
    if metadata is None or len(metadata) < 2:  # of two texts the library's order is not fixed
        assert content == (tmp_path / "library").read_bytes()


def test_a_slice_is_written_as_what_it_shows_and_a_file_in_several_parts(tmp_path: Path) -> None:
    whole = torch.arange(2**23, dtype=torch.float32).reshape(2**11, 2**12)
    tensors = {"columns": whole[:, ::2], "turned": whole[:4].T}
    checksum = write_tensors(tensors, tmp_path / "file")
    assert checksum == hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()
    loaded = load_file(tmp_path / "file")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_what_this_writer_does_not_know_the_library_writes(tmp_path: Path) -> None:
    tensors = {"complex": torch.ones(2, dtype=torch.complex64)}
    checksum = write_tensors(tensors, tmp_path / "file")
    assert checksum == hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()
    assert torch.equal(load_file(tmp_path / "file")["complex"], tensors["complex"])
    with pytest.raises(ValueError, match="sparse"):  # as the library refuses it
        write_tensors({"a": torch.ones(2).to_sparse()}, tmp_path / "sparse")


def test_a_saved_models_weights_are_hashed_as_they_are_written(
    lm: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what the library writes would have to be read again
    monkeypatch.setattr("interventions.tensor_files.save_file", lambda *_, **__: pytest.fail("it"))
    with recorded_checksums() as checksums:
        lm.save(tmp_path)
    weights = tmp_path / "model.safetensors"
    assert checksums == {weights: hashlib.sha256(weights.read_bytes()).hexdigest()}
    write_tensors({}, tmp_path / "afterwards")
    assert len(checksums) == 1
