"""What a step cost: seconds and peak memory.

They say nothing about the model, so they are no registered criteria: the run logs them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

_GIB = 2**30
_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


@dataclass
class Cost:
    """What a block of code cost.

    Attributes:
        seconds: of wall time.
        peak_gib: peak memory in GiB: of the GPU where there is one, else of the process (resident).
    """

    seconds: float = 0.0
    peak_gib: float = 0.0


@contextmanager
def cost() -> Iterator[Cost]:
    """Measure the block; the result is filled in when it ends.

    Example:
        >>> with cost() as block_cost:
        ...     _ = sum(range(1000))
        >>> block_cost.seconds > 0
        True
    """
    block_cost = Cost()
    _reset_peak()
    start = time.perf_counter()
    try:
        yield block_cost
    finally:
        block_cost.seconds = time.perf_counter() - start
        block_cost.peak_gib = _peak_bytes() / _GIB


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif _RESET.exists():
        try:
            _RESET.write_text("5")  # proc(5): resets VmHWM
        except OSError:
            # not permitted in some containers: the peak is then that of the process so far
            return


def _peak_bytes() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)
