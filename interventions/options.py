"""The values that settings may have, by name; a command line shows them without importing torch."""

from __future__ import annotations

from typing import Literal, get_args

Profile = Literal["testbed", "paper"]
Split = Literal["test", "validation", "held_out"]
Recompress = Literal["auto", "never", "paper"]

# whose defaults a hyperparameter has: the testbed's, or the paper's at full scale
PROFILES = ("testbed", "paper")
SPLITS: tuple[str, ...] = get_args(Split)
RECOMPRESS: tuple[str, ...] = get_args(Recompress)
