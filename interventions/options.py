"""The values that settings may have, by name; imports nothing, so that a command line can show them at once."""

from __future__ import annotations

from typing import Literal

Profile = Literal["testbed", "paper"]
Split = Literal["test", "validation", "held_out"]
Recompress = Literal["auto", "never", "paper"]

# whose defaults a hyperparameter has: the testbed's, or the paper's at full scale
PROFILES = ("testbed", "paper")
