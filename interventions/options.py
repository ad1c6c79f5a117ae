"""The values that settings may have, by name; a command line shows them without importing torch."""

from __future__ import annotations

from typing import Literal, get_args

Profile = Literal["testbed", "paper"]
Split = Literal["test", "validation", "held_out"]
Recompress = Literal["auto", "never", "paper"]  # what a run does

# whose defaults a hyperparameter has: the testbed's, or the paper's at full scale
PROFILES = ("testbed", "paper")
SPLITS: tuple[str, ...] = get_args(Split)
PRESET = "preset"  # what the preset of a grid says; "auto" where there is none
# what a user may ask for
RECOMPRESS: tuple[str, ...] = (*get_args(Recompress), PRESET)

PLAIN_FORMAT, CHAT = "plain", "chat"
# how a model is given the prompts of edits and questions
PROMPT_FORMATS = (PLAIN_FORMAT, CHAT)

KEEP, DROP = "keep", "drop"
# whether the last window of a text counts that is shorter than the others
TAILS = (KEEP, DROP)

# tokens that are scored together, by data: the rows that the testbed's model was trained on; and
# Llama 3's context: at 2048 its perplexity is 6.1, and the paper's is 5.54
WINDOWS = {"testbed": 64, "paper": 8192}

# of the testbed's model and data together; what was recorded without one is of version 1
TESTBED_VERSION = 3

UNPACKED = "none"
# the packed forms of a quantized checkpoint, and none of them; see packed_formats.py
EXPORTS = (UNPACKED, "compressed-tensors", "gptq")

EMPTY = "none"  # how the empty composition is written

OWN_SUFFIXES = (".yaml", ".yml")  # of a file that describes data of somebody's own


def is_own_file(data: object) -> bool:
    """Return whether a setting ``data`` names a file that describes data of somebody's own.

    Example:
        >>> is_own_file("ours.yaml"), is_own_file("testbed")
        (True, False)
    """
    return isinstance(data, str) and data.lower().endswith(OWN_SUFFIXES)
