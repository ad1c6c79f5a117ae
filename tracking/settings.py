"""The settings of a run, with their defaults and valid values; imports no torch and no MLflow."""

from __future__ import annotations

from dataclasses import dataclass

from interventions.errors import InvalidInput, shown
from interventions.options import PRESET

TESTBED, PAPER = "testbed", "paper"
DATA = (TESTBED, PAPER)
CHECKPOINTS = ("all", "last", "changed", "none")
DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "float32", "bfloat16", "float16")
SEED_LIMIT = 2**32 - 1  # what NumPy takes
MOST_WINDOW = 2**20  # tokens; models that read more are not known


@dataclass(frozen=True)
class Settings:
    """Everything about a run but its composition, as a user gives it.

    Attributes:
        model: "testbed", a checkpoint folder, or a Hugging Face id.
        data: what the steps learn from and what judges them: "testbed" or "paper".
        seed: a number that enters the seed of every step.
        edit_batch: the index of the batch of edits.
        split: the part of the data that judges: "test", "validation", "held_out".
        window: tokens that perplexity scores together; 0: as many as the data's own.
        recompress: "auto", "never" or "paper", see ``Composition.recompression``; "preset": what
            the preset of a grid says, else "auto".
        checkpoints: whose checkpoints are logged: "all", "last", "changed" or "none".
        device: "auto", "cpu" or "cuda".
        dtype: "auto" (float32 on a CPU, bfloat16 on a GPU), "float32", "bfloat16", "float16".
        trust_remote_code: whether code that comes with the model may run.
        allow_pickle: whether the model's weights may be pickled, where there are no others.

    Example:
        >>> Settings(seed=3).checkpoints
        'all'
    """

    model: str = TESTBED
    data: str = TESTBED
    seed: int = 0
    edit_batch: int = 0
    split: str = "test"
    window: int = 0
    recompress: str = PRESET
    checkpoints: str = "all"
    device: str = "auto"
    dtype: str = "auto"
    trust_remote_code: bool = False
    allow_pickle: bool = False


def yes_or_no(name: str, value: object) -> bool:
    """Return ``value`` if it is True or False.

    Raises:
        InvalidInput: it is something else.

    Example:
        >>> yes_or_no("allow_pickle", "yes")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: allow_pickle must be true or false, but got 'yes'
    """
    if isinstance(value, bool):
        return value
    raise InvalidInput(f"{name} must be true or false, but got {shown(value)}")


def check_window(window: object) -> int:
    """Return ``window`` if texts can be scored in windows of as many tokens, or it is 0.

    Raises:
        InvalidInput: it is something else; nothing predicts the token of a window of one.

    Example:
        >>> check_window(1)
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: window must be 0 (the data's own) or an integer from 2...
    """
    if type(window) is int and (window == 0 or 2 <= window <= MOST_WINDOW):
        return window
    raise InvalidInput(
        f"window must be 0 (the data's own) or an integer from 2 to {MOST_WINDOW} (tokens), but got"
        f" {shown(window)}"
    )


def setting_text(value: object) -> str:
    """Return a setting as the command line writes it, and as runs record it.

    Example:
        >>> setting_text(True), setting_text(3)
        ('true', '3')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)
