"""Read the setting ``model``: a model of the testbed, a folder, or an id on the hub."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput, did_you_mean, shown
from tracking.versions import MODELS, TESTBED, base_name, with_version

_NEAR = 0.75  # to "testbed": as near as one letter more, less or wrong
_MOST_SHOWN = 150  # characters
_WITHOUT_FORGET_FOLDER = "model-without-forget"  # beside the other model
_CONFIG = "config.json"
_AT = "@"  # between a hub's model and its revision
# what git takes for a name, and no more of them
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")


def model_source(model: object) -> str:
    """Return the folder of a model, or its Hugging Face id without its revision.

    Args:
        model: "testbed", "testbed-without-forget", a checkpoint folder, or an id; nothing is read,
            so the id need not exist.

    Raises:
        InvalidInput: it can be none of them, or is another version of the testbed's model.

    Example:
        >>> model_source("gpt2"), model_source("EleutherAI/pythia-70m@step3000")
        ('gpt2', 'EleutherAI/pythia-70m')
        >>> model_source("tesbed")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: model 'tesbed' is ... Did you mean 'testbed'?
    """
    name = base_name(str(with_version("model", model)))
    if name in MODELS:
        return _shipped(name)
    text = str(model) if isinstance(model, str | Path) else ""
    folder = _existing(text)
    if folder is not None and folder.is_dir():
        return str(folder)
    if folder is not None:
        raise InvalidInput(
            f"model {shown(text, _MOST_SHOWN)} is a file: give the folder that it is in"
        )
    nearest = did_you_mean(text.lower(), MODELS, cutoff=_NEAR)
    hub_id, at_sign, revision = text.partition(_AT)
    if nearest or not _is_hub_id(hub_id):
        raise InvalidInput(
            f"model {shown(model, _MOST_SHOWN)} is not a folder, and no Hugging Face id"
            f" (owner/name or name); or use 'testbed'.{nearest}".removesuffix(".")
        )
    if at_sign and not _REVISION.fullmatch(revision):
        raise InvalidInput(
            f"model {shown(text, _MOST_SHOWN)} has no revision that can be one: behind the @ is a"
            " branch, a tag or a commit, such as main"
        )
    return hub_id


def model_revision(model: object) -> str | None:
    """Return the revision of a hub's model that a setting names; None where it names none.

    Args:
        model: what ``model_source`` takes.

    Example:
        >>> model_revision("EleutherAI/pythia-70m@step3000"), model_revision("gpt2")
        ('step3000', None)
    """
    text = str(model) if isinstance(model, str | Path) else ""
    if base_name(text) in MODELS or _existing(text) is not None:
        return None
    return text.partition(_AT)[2] or None


def _shipped(name: str) -> str:
    """Return the folder of one of the testbed's models.

    The one that was trained without the facts to forget is what unlearning should come to.
    """
    folder = MODEL if name == TESTBED else MODEL.with_name(_WITHOUT_FORGET_FOLDER)
    if not (folder / _CONFIG).is_file():
        raise InvalidInput(
            f"model {name} has no folder {shown(str(folder), _MOST_SHOWN)} in this installation:"
            f" `python -m interventions.data.testbed.train` makes it; or use {TESTBED}"
        )
    return str(folder)


def _existing(text: str) -> Path | None:
    """Return the absolute path of what exists under a name; None if nothing can."""
    # "" would be the current folder; MLflow and a message show one line
    if not text or not text.isprintable():
        return None
    try:
        path = Path(text).expanduser().resolve()
        return path if path.exists() else None
    except (OSError, RuntimeError):  # a name too long, a loop of links, a user without a home
        return None


def _is_hub_id(text: str) -> bool:
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True
