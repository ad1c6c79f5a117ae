"""Where computed results are kept: in the checkout, or the current folder where there is none."""

from __future__ import annotations

import os
from pathlib import Path

_PROJECT_LINE = "name: composable-interventions"  # of our own MLproject


def checkout() -> Path | None:
    """Return the checkout that this code runs from, or None where it is an installed wheel.

    A wheel may be installed into any folder (`pip install --target`), also into one that holds the
    MLproject of somebody else: so the project's name is compared too.
    """
    folder = Path(__file__).resolve().parent.parent
    project = folder / "MLproject"
    if project.is_file() and _PROJECT_LINE in project.read_text(encoding="utf-8").splitlines():
        return folder
    return None


def root() -> Path:
    """Return the folder of the default store and cache: the checkout, else the current folder."""
    return checkout() or Path.cwd()


def folder() -> Path:
    """Return the folder of cached checkpoints, criterion values and statistics.

    COMPOSABILITY_CACHE names it; without it, it is `.cache/checkpoints` under `root()`.
    """
    return Path(os.environ.get("COMPOSABILITY_CACHE") or root() / ".cache" / "checkpoints")
