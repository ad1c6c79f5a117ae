"""How much memory a device has, and how much of the host's is free."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

# limit and use of a container, by versions of Linux's control groups
_CONTAINERS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def host_bytes() -> int:
    """Return how many bytes of memory programs may still take, a container's limit included.

    Example:
        >>> host_bytes() > 0
        True
    """
    memory = psutil.virtual_memory()
    available = int(memory.available)
    for limit, used in _CONTAINERS:
        try:
            left = int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):  # there is none, or its limit is "max"
            continue
        # cached files count as used, and are given back on demand
        available = min(available, max(left, 0) + int(getattr(memory, "cached", 0)))
    return available


def device_bytes(device: str) -> int | None:
    """Return the memory of a device: of a GPU all of it, of the CPU what is free.

    Args:
        device: "cpu", or "cuda" with or without an index.

    Returns:
        Bytes; None if the device is not here.

    Example:
        >>> device_bytes("cpu") > 0
        True
    """
    if device == "cpu":
        return host_bytes()
    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)
