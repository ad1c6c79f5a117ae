"""What a step cost: seconds and peak memory.

They say nothing about the model, so they are no registered criteria: the run logs them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch

_GIB = 2**30  # bytes
_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


@dataclass
class Cost:
    """What a block of code cost.

    Attributes:
        seconds: of wall time.
        peak_gib: peak memory in GiB, what was there before the block included: on a GPU that of
            all tensors, on a CPU that of the process (resident).
        step_gib: the block's own part of it: the peak less what was there when it began; NaN where
            that is not known.
    """

    seconds: float = 0.0
    peak_gib: float = 0.0
    step_gib: float = field(default=math.nan, compare=False)


@contextmanager
def cost(device: torch.device | str = "cpu") -> Iterator[Cost]:
    """Measure the block; the result is filled in when it ends.

    Args:
        device: whose memory is measured: that on which the block computes.

    Example:
        >>> with cost() as block_cost:
        ...     _ = sum(range(1000))
        >>> block_cost.seconds > 0
        True
    """
    block_cost = Cost()
    measured = torch.device(device)
    can_tell, before = _reset_peak(measured), _bytes_in_use(measured)
    start = time.perf_counter()
    try:
        yield block_cost
    finally:
        block_cost.seconds = time.perf_counter() - start
        peak = _peak_bytes(measured)
        block_cost.peak_gib = peak / _GIB
        if can_tell:
            block_cost.step_gib = max(0, peak - before) / _GIB


def _reset_peak(device: torch.device) -> bool:
    """Let the peak start again from what is in use; return whether that was possible."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        _RESET.write_text("5")  # proc(5): resets VmHWM
    except OSError:
        # no such file, or not permitted in some containers: the peak is that of the process so far
        return False
    return True


def _bytes_in_use(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return _status_bytes("VmRSS:") or _resident_bytes()


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _status_bytes("VmHWM:") or _resident_bytes()


def _status_bytes(field: str) -> int:
    """Return a size that Linux tells of this process; 0 where it tells none."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)
