"""The settings of a run, with their defaults and valid values; imports no torch and no MLflow."""

from __future__ import annotations

from dataclasses import dataclass

TESTBED, PAPER = "testbed", "paper"
DATA = (TESTBED, PAPER)
CHECKPOINTS = ("all", "last", "changed", "none")
DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "float32", "bfloat16", "float16")
SEED_LIMIT = 2**32 - 1  # what NumPy takes


@dataclass(frozen=True)
class Settings:
    """Everything about a run but its composition, as a user gives it.

    Attributes:
        model: "testbed", a checkpoint folder, or a Hugging Face id.
        data: what the steps learn from and what judges them: "testbed" or "paper".
        seed: a number that enters the seed of every step.
        edit_batch: the index of the batch of edits.
        split: the part of the data that judges: "test", "validation", "held_out".
        recompress: "auto", "never" or "paper"; see ``Composition.recompression``.
        checkpoints: whose checkpoints are logged: "all", "last", "changed" or "none".
        device: "auto", "cpu" or "cuda".
        dtype: "auto" (float32 on a CPU, bfloat16 on a GPU), "float32", "bfloat16", "float16".

    Example:
        >>> Settings(seed=3).checkpoints
        'all'
    """

    model: str = TESTBED
    data: str = TESTBED
    seed: int = 0
    edit_batch: int = 0
    split: str = "test"
    recompress: str = "auto"
    checkpoints: str = "all"
    device: str = "auto"
    dtype: str = "auto"
