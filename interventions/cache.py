"""Where computed things are kept between runs: COMPOSABILITY_CACHE, or `.cache/checkpoints` of the checkout."""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """The checkout (the folder with MLproject above this file); elsewhere the current folder."""
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "MLproject").exists() else Path.cwd()


def folder() -> Path:
    """The folder of kept checkpoints, values and statistics."""
    return Path(os.environ.get("COMPOSABILITY_CACHE") or root() / ".cache" / "checkpoints")
