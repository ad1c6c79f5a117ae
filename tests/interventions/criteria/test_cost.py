"""Seconds and peak memory of a block, on the device that it uses."""

import math
import time
from pathlib import Path

import pytest
import torch

from interventions.criteria import cost as cost_module
from interventions.criteria.cost import cost

QUARTER_GIB = 64 * 2**20  # numbers in float32


def test_the_cost_of_a_block_sees_its_peak() -> None:
    with cost() as idle:
        pass
    with cost() as busy:
        hungry = torch.ones(QUARTER_GIB)
        del hungry
    assert busy.seconds > 0
    assert busy.peak_gib - idle.peak_gib > 0.15


def test_the_step_is_its_peak_less_what_was_there() -> None:
    there = torch.ones(QUARTER_GIB)
    with cost() as busy:
        hungry = torch.ones(QUARTER_GIB)
        del hungry
    with cost() as idle:
        pass
    assert there.numel() == QUARTER_GIB
    assert busy.step_gib == pytest.approx(0.25, abs=0.05)
    assert idle.step_gib < 0.05
    assert busy.peak_gib > 0.5


def test_a_step_is_not_known_where_the_peak_cannot_be_reset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cost_module, "_RESET", tmp_path / "no" / "such")
    with cost() as block:
        pass
    assert math.isnan(block.step_gib) and block.peak_gib > 0


def test_the_cost_of_a_block_is_its_own_time_even_if_it_fails() -> None:
    start = time.perf_counter()
    with pytest.raises(RuntimeError), cost() as failed:
        time.sleep(0.05)
        raise RuntimeError
    assert 0.05 <= failed.seconds <= time.perf_counter() - start


class Gpu:
    """Stands in for torch.cuda: what was allocated, by device."""

    def __init__(self) -> None:
        self.in_use = {0: 2 * 2**30, 1: 2**30}
        self.peaks = {0: 9 * 2**30, 1: 9 * 2**30}

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        self.peaks[device.index] = self.in_use[device.index]

    def memory_allocated(self, device: torch.device) -> int:
        return self.in_use[device.index]

    def max_memory_allocated(self, device: torch.device) -> int:
        return self.peaks[device.index]


def test_memory_is_that_of_the_device_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu()
    for name in ("reset_peak_memory_stats", "memory_allocated", "max_memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, getattr(gpu, name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with cost("cuda:1") as on_gpu:
        gpu.peaks[1] = 4 * 2**30
    assert (on_gpu.peak_gib, on_gpu.step_gib) == (4.0, 3.0)
    with cost("cuda:1") as idle:
        pass
    assert (idle.peak_gib, idle.step_gib) == (1.0, 0.0)
    with cost("cpu") as on_cpu:
        pass
    assert on_cpu.peak_gib < 2 and gpu.peaks[0] == 9 * 2**30


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_peak_is_that_of_its_tensors() -> None:
    there = torch.ones(QUARTER_GIB, device="cuda")
    before = torch.cuda.memory_allocated()
    with cost("cuda") as busy:
        hungry = torch.ones(QUARTER_GIB, device="cuda")
        del hungry
    assert busy.step_gib == pytest.approx(0.25, abs=0.01)
    assert busy.peak_gib == pytest.approx(before / 2**30 + 0.25, abs=0.01)
    assert there.numel() == QUARTER_GIB


def test_sizes_are_read_as_linux_tells_them_in_kibibytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cost_module, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(cost_module, "_resident_bytes", lambda: 7)
    cpu = torch.device("cpu")
    assert cost_module._bytes_in_use(cpu) == cost_module._peak_bytes(cpu) == 7
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  30 kB\nVmRSS:\t  20 kB\n")
    assert (cost_module._bytes_in_use(cpu), cost_module._peak_bytes(cpu)) == (20480, 30720)
    assert cost_module._status_bytes("VmSwap:") == 0
