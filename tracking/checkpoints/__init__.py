"""Checkpoints on disk: stored by key, logged as what a step changed, restored from a run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interventions.moved import attribute_of_old_module

if TYPE_CHECKING:
    from tracking.checkpoints.restore import load_checkpoint
    from tracking.checkpoints.store import Checkpoints

__all__ = ["Checkpoints", "load", "load_checkpoint"]

_old_name = attribute_of_old_module("tracking.checkpoints")


def load(run_id: str, step: int, out: Path | str | None = None) -> Path:
    """Call ``load_checkpoint``; the name of before, which goes with the next version."""
    from tracking.checkpoints import restore

    warnings.warn(
        "tracking.checkpoints.load is now load_checkpoint", DeprecationWarning, stacklevel=2
    )
    return restore.load_checkpoint(run_id, step, out)


def __getattr__(name: str) -> Any:
    # lazy, because restoring imports torch, and imports modules that store checkpoints
    if name == "Checkpoints":
        from tracking.checkpoints import store

        return store.Checkpoints
    if name == "load_checkpoint":
        from tracking.checkpoints import restore

        return restore.load_checkpoint
    return _old_name(name)
