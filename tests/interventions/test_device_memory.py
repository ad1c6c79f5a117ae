"""How much memory a device has, and how much of the host's is free."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from interventions import device_memory
from interventions.device_memory import device_bytes, host_bytes

GIB = 2**30


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of which 20 GiB are free and 3 GiB hold files."""
    memory = SimpleNamespace(available=20 * GIB, cached=3 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def limit(monkeypatch: pytest.MonkeyPatch, folder: Path, most: str, used: int) -> None:
    (folder / "max").write_text(most)
    (folder / "current").write_text(str(used))
    places = ((str(folder / "none"), ""), (str(folder / "max"), str(folder / "current")))
    monkeypatch.setattr(device_memory, "_CONTAINERS", places)


@pytest.mark.parametrize(
    ("most", "used", "free"),
    [
        ("max", 5, 20),
        (str(100 * GIB), 5, 20),
        (str(8 * GIB), 5, 6),  # 3 that are left, and 3 of files
        (str(4 * GIB), 5, 3),
    ],
)
def test_free_memory_is_the_least_of_machine_and_container(
    machine: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, most: str, used: int, free: int
) -> None:
    limit(monkeypatch, tmp_path, most, used * GIB)
    assert host_bytes() == free * GIB
    assert device_bytes("cpu") == free * GIB


def test_a_gpu_that_is_not_here_has_no_memory_that_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_bytes("cuda") is None and device_bytes("cuda:1") is None


def test_a_gpu_has_all_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {None: 80, 0: 80, 1: 24}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(total_memory=sizes[device.index] * GIB),
    )
    assert device_bytes("cuda") == 80 * GIB
    assert device_bytes("cuda:1") == 24 * GIB
