"""The settings of a run, with their defaults and valid values; imports no torch and no MLflow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interventions.errors import InvalidInput, shown
from interventions.options import KEEP, PLAIN_FORMAT, PRESET, PROFILES, is_own_file
from tracking.schema import SETTINGS, UNSAID_SETTINGS, USED
from tracking.versions import TESTBED, base_name

if TYPE_CHECKING:
    from interventions.data.own.data_set import DataSet

PAPER = "paper"
DATA = (TESTBED, PAPER)
CHECKPOINTS = ("all", "last", "changed", "none")
DEVICES = ("auto", "cpu", "cuda")
_GPU = re.compile(r"cuda:(0|[1-9][0-9]?)")
DTYPES = ("auto", "float32", "bfloat16", "float16")
SEED_LIMIT = 2**32 - 1  # what NumPy takes
ALL = "all"  # the criteria that the data can measure
MOST_ITEMS = 10**9  # of a criterion
MOST_WINDOW = 2**20  # tokens; models that read more are not known


@dataclass(frozen=True)
class Settings:
    """Everything about a run but its composition, as a user gives it.

    Attributes:
        model: "testbed", "testbed-without-forget", a checkpoint folder, or a Hugging Face id.
        data: what the steps learn from and what judges them: "testbed", "paper", the path of a
            YAML file, or a data set that ``own_data`` made.
        seed: a number that enters the seed of every step.
        edit_batch: the index of the batch of edits.
        split: the part of the data that judges: "test", "validation", "held_out".
        window: tokens that perplexity scores together; 0: as many as the data's own.
        stride: tokens after which perplexity's next window begins; 0: ``window``, so that none
            overlap. Of windows that do, the tokens count that the one before did not have.
        tail: "keep" or "drop" the last window of a text that is shorter than the others.
        criteria: what is measured: names with commas between; "all": what the data can measure.
        limit: the most items of a criterion that are measured, a stratified sample; 0: all.
        prompt_format: how the prompts of edits and questions are given: "plain", as they are, or
            "chat", by the tokenizer's chat template.
        recompress: "auto", "never" or "paper", see ``Composition.recompression``; "preset": what
            the preset of a grid says, else "auto".
        checkpoints: whose checkpoints are logged: "all", "last", "changed" or "none".
        device: "auto", "cpu", "cuda", or one GPU of several: "cuda:1".
        dtype: "auto" (float32 on a CPU, bfloat16 on a GPU), "float32", "bfloat16", "float16".
        trust_remote_code: whether code that comes with the model may run.
        allow_pickle: whether the model's weights may be pickled, where there are no others.

    Example:
        >>> Settings(seed=3).checkpoints
        'all'
    """

    model: str = TESTBED
    data: str | DataSet = TESTBED
    seed: int = 0
    edit_batch: int = 0
    split: str = "test"
    window: int = 0
    stride: int = 0
    tail: str = KEEP
    criteria: str = ALL
    limit: int = 0
    prompt_format: str = PLAIN_FORMAT
    recompress: str = PRESET
    checkpoints: str = "all"
    device: str = "auto"
    dtype: str = "auto"
    trust_remote_code: bool = False
    allow_pickle: bool = False

    @property
    def profile(self) -> str:
        """Whose defaults steps have on the data: "testbed" or "paper"."""
        return defaults_profile(self.data)


def defaults_profile(data: str | DataSet) -> str:
    """Return whose defaults steps have on some data: "testbed" or "paper".

    Data of somebody's own say it. An unknown name of data gets the first; it is refused later, with
    the settings.

    Raises:
        InvalidInput: a file of somebody's own data cannot be read.

    Example:
        >>> defaults_profile("testbed@3"), defaults_profile("paper")
        ('testbed', 'paper')
    """
    if isinstance(data, str) and not is_own_file(data):
        profile = base_name(data)
        return profile if profile in PROFILES else PROFILES[0]
    from interventions.data.own.described import defaults_of

    return defaults_of(data)


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


def check_stride(stride: int, window: int) -> None:
    """Check that windows which begin so many tokens apart leave no token out.

    Args:
        stride: an integer; 0: windows do not overlap.
        window: tokens of a window.

    Raises:
        InvalidInput: it is more than a window has.

    Example:
        >>> check_stride(65, window=64)
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: stride must be 0 (no overlap) or an integer of at most...
    """
    if stride > window:
        raise InvalidInput(
            f"stride must be 0 (no overlap) or an integer of at most {window}, the tokens of a"
            f" window, but got {stride}: tokens between two windows would not count"
        )


def setting_text(value: object) -> str:
    """Return a setting as the command line writes it, and as runs record it.

    Example:
        >>> setting_text(True), setting_text(3)
        ('true', '3')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def recorded_settings(settings: Settings) -> dict[str, str]:
    """Return the settings that a run records, as text; a new one only if it is not the default.

    Example:
        >>> "prompt_format" in recorded_settings(Settings())
        False
        >>> recorded_settings(Settings(prompt_format="chat"))["prompt_format"]
        'chat'
    """
    texts = {name: setting_text(getattr(settings, name)) for name in SETTINGS}
    unsaid = {name: setting_text(getattr(Settings, name)) for name in UNSAID_SETTINGS}
    return {name: text for name, text in texts.items() if unsaid.get(name) != text}


def is_gpu(device: object) -> bool:
    """Return whether a device is one GPU of several, by its index.

    Example:
        >>> is_gpu("cuda:1"), is_gpu("cuda"), is_gpu("cuda:01")
        (True, False, False)
    """
    return isinstance(device, str) and _GPU.fullmatch(device) is not None


def settings_params(
    requested: Settings, used: Settings, launched: Mapping[str, str]
) -> dict[str, str]:
    """Return the params that say a run's settings, and what they came to.

    `mlflow run` has logged what it was given, with the shell's quotes, and MLflow lets nobody
    change a param: what was used goes into one of its own, "used.<name>".

    Args:
        requested: as they were given.
        used: with every "auto" decided.
        launched: the params that `mlflow run` has logged.
    """
    given, came_to = recorded_settings(requested), recorded_settings(used)
    params = {name: text for name, text in given.items() if name not in launched}
    always_shown = ("dtype", "device", "window", "recompress")
    for name, value in came_to.items():
        if name in always_shown or launched.get(name, given[name]) != value:
            params[f"{USED}{name}"] = value
    return params
