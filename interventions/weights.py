"""Load a model's weights, and tell where they do not fit the model.

transformers fills what a checkpoint lacks with random numbers, and only says so.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from interventions.errors import printable_line, shown
from interventions.model_files import refusal
from interventions.model_source import only_loading

# in what transformers says of weights that do not fit
_REPORTS = ("LOAD REPORT", "checkpoint seem corrupted")
_MOST_SHOWN = 80  # characters of a weight's name


def load_weights(source: str | Path, **options: Any) -> PreTrainedModel:
    """Return a model all of whose weights were in its checkpoint.

    Args:
        source: a model that ``check_source`` lets through.
        **options: of ``from_pretrained``.

    Raises:
        InvalidInput: the model has weights that are not stored, or have another shape there. What
            transformers ties to others or does without is none of these.
        OSError: the weights cannot be read.
    """
    with only_loading(), _without_report():
        model, info = AutoModelForCausalLM.from_pretrained(
            source, **options, output_loading_info=True, ignore_mismatched_sizes=True
        )
    mismatched = sorted(info["mismatched_keys"])
    if mismatched:
        name, stored, expected = mismatched[0]
        raise refusal(
            source,
            f"{len(mismatched)} of its weights have another shape than config.json describes:"
            f" {shown(name, _MOST_SHOWN)} is {tuple(stored)}, not {tuple(expected)}",
        )
    if info["missing_keys"]:
        raise refusal(
            source,
            f"{_counted(info['missing_keys'])} of the model that config.json describes are not"
            " stored, and would be random",
        )
    if info["unexpected_keys"]:
        warnings.warn(
            printable_line(
                f"{_counted(info['unexpected_keys'])} stored in {shown(str(source), 100)} are of no"
                " use to the model that config.json describes: is it another architecture?"
            ),
            stacklevel=1,  # one place, so that it is said once and not at every load
        )
    assert isinstance(model, PreTrainedModel)
    return model


def check_stored_weights(source: str | Path, trust_remote_code: bool = False) -> None:
    """Check by names and shapes that the weights in a folder fit the model; read no numbers.

    Args:
        source: a folder that ``check_source`` lets through, with safetensors.
        trust_remote_code: whether code that comes with the model may run.

    Raises:
        InvalidInput: they do not fit.
    """
    # a bar for what takes no time would be the second one of a run
    with _without_bars():
        load_weights(
            source,
            device_map="meta",  # transformers renames and joins what is stored, but reads nothing
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
        )


@contextmanager
def _without_bars() -> Iterator[None]:
    were_shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_shown:
            transformers_logging.enable_progress_bar()


def _counted(names: Collection[str]) -> str:
    """Return how many weights there are, and the name of one."""
    return f"{len(names)} weights (such as {shown(min(names), _MOST_SHOWN)})"


@contextmanager
def _without_report() -> Iterator[None]:
    """Keep what transformers says of weights from the terminal: our line says it."""
    logger = logging.getLogger("transformers.modeling_utils")

    def is_other(record: logging.LogRecord) -> bool:
        return not any(report in str(record.msg) for report in _REPORTS)

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)
