"""How much memory and disk there is for a run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from interventions.device_memory import device_bytes, host_bytes

GIB = 2**30  # bytes


@dataclass(frozen=True)
class Room:
    """What a run may use, in bytes.

    Attributes:
        device: memory of the device, all of it; None where that device is not here.
        host: memory that programs may still take.
        disk: free space where checkpoints are cached.
        cache: size that the cache stays under.
    """

    device: int | None
    host: int
    disk: int
    cache: int


def room_here(device: str, folder: Path, cache_gib: float, device_gib: float = 0.0) -> Room:
    """Return what there is on this machine.

    Args:
        device: "cpu" or "cuda", with the index of a GPU.
        folder: the cache's; it may not exist yet.
        cache_gib: its bound.
        device_gib: memory of a device that is elsewhere; 0: of the one that is here.

    Example:
        >>> room_here("cuda", Path("."), 10, device_gib=80).device == 80 * GIB
        True
    """
    memory = int(device_gib * GIB) if device_gib else device_bytes(device)
    while not folder.exists():
        folder = folder.parent
    return Room(memory, host_bytes(), shutil.disk_usage(folder).free, int(cache_gib * GIB))
