"""The files of a model, in a folder or on the Hugging Face hub, and what the small ones say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, is_offline_mode, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers.utils import (
    ADAPTER_CONFIG_NAME,
    CONFIG_NAME,
    GENERATION_CONFIG_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    WEIGHTS_INDEX_NAME,
)

from interventions.errors import InvalidInput, shown
from interventions.hub_errors import with_hub_message
from interventions.small_json import entries, read_json_object

TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
_SMALL_FILES = (
    CONFIG_NAME,
    TOKENIZER_CONFIG_NAME,
    GENERATION_CONFIG_NAME,
    "special_tokens_map.json",
    "added_tokens.json",
    SAFE_WEIGHTS_INDEX_NAME,
    WEIGHTS_INDEX_NAME,
)
_MOST_SHOWN = 150  # characters of the model's name or folder, so that the reason has room


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model.

    Attributes:
        source: the model, as it was given.
        folder: where the small files are: the model's own, or the one in the hub's cache.
        names: of all files.
        documents: what the small JSON files say, by name.
    """

    source: str | Path
    folder: Path
    names: frozenset[str]
    documents: Mapping[str, Mapping[str, Any]]

    @property
    def config(self) -> Mapping[str, Any]:
        """What config.json says."""
        return self.documents.get(CONFIG_NAME, {})

    @property
    def is_local(self) -> bool:
        """Whether the model is a folder, and not on the hub."""
        return Path(self.source).is_dir()

    def own_code(self) -> list[str]:
        """Return the classes, in code of the model's own, that it asks transformers to use."""
        return [
            text
            for name in (CONFIG_NAME, TOKENIZER_CONFIG_NAME)
            # at any depth: the config of a part of the model may name code, too
            for key, value in entries(self.documents.get(name, {}))
            if key == "auto_map"
            for text in texts(value)
        ]

    def refusal(self, reason: str) -> InvalidInput:
        """Return the error that says why the model cannot be read."""
        return refusal(self.source, reason)


def refusal(source: str | Path, reason: str) -> InvalidInput:
    """Return the error that says why a model cannot be read."""
    name = shown(str(source), _MOST_SHOWN)
    return InvalidInput(f"cannot read a causal language model from {name}: {reason}")


def read_model_files(source: str | Path, revision: str | None = None) -> ModelFiles:
    """Read the small files of a model; those on the hub are fetched.

    Args:
        source: a checkpoint folder, or a model's id on the Hugging Face hub.
        revision: of the hub's model.

    Raises:
        InvalidInput: there is no such model, or one of its files is not a JSON object.
    """
    if _is_folder(source):
        folder = Path(source)
        try:
            names: Iterable[str] = [file.name for file in folder.iterdir()]
        except OSError as error:
            raise refusal(source, str(error)) from error
    else:
        folder = _downloaded(source, revision)
        names = _names_on_hub(source, folder)
    if CONFIG_NAME not in names and ADAPTER_CONFIG_NAME not in names:
        raise refusal(source, f"there is no {CONFIG_NAME}")
    try:
        documents = {
            name: read_json_object(folder / name) for name in _SMALL_FILES if name in names
        }
    except InvalidInput as error:
        raise refusal(source, str(error)) from error
    return ModelFiles(source, folder, frozenset(names), documents)


def _is_folder(source: object) -> bool:
    """Return whether a model is a folder; refuse what is neither a folder's name nor an id."""
    try:
        if isinstance(source, str | Path):
            return Path(source).is_dir()
    except (OSError, ValueError) as error:  # a name that is too long or cannot be one
        raise refusal(str(source), str(getattr(error, "strerror", "") or error)) from error
    raise InvalidInput(
        f"a model is a folder or an id on the Hugging Face hub, but got {shown(source, 100)}"
    )


def own_code(source: str | Path, revision: str | None = None) -> list[str]:
    """Return the classes, in code of a model's own, that it asks transformers to use.

    Args:
        source: a checkpoint folder, or a model's id on the Hugging Face hub.
        revision: of the hub's model.

    Raises:
        InvalidInput: there is no such model, or one of its files is not a JSON object.
    """
    return read_model_files(source, revision).own_code()


def texts(value: object) -> list[str]:
    """Return the texts in a value from JSON: itself, or its items at any depth.

    Example:
        >>> texts({"AutoTokenizer": ["tokenization.Own", None]})
        ['tokenization.Own']
    """
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [] if value is None else [str(value)]


def downloaded_commit(source: str, revision: str | None = None) -> str | None:
    """Return which commit of a hub's model is in the cache: loading takes that one.

    Args:
        source: the model's id.
        revision: of it; its main branch by default.
    """
    path = try_to_load_from_cache(source, CONFIG_NAME, revision=revision)
    # the files of a commit are in a folder of its name
    return Path(path).parent.name if isinstance(path, str) else None


def _downloaded(source: str | Path, revision: str | None) -> Path:
    """Return the folder in the hub's cache that has a model's small files."""
    patterns = [*_SMALL_FILES, ADAPTER_CONFIG_NAME]
    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        page = f"https://huggingface.co/{source}"
        reason = f"it is gated: ask for access at {page}, and set HF_TOKEN"
        raise with_hub_message(str(refusal(source, reason)), error) from error
    except RepositoryNotFoundError as error:
        reason = "the Hugging Face hub has no such model, or it is private (set HF_TOKEN)"
        raise with_hub_message(str(refusal(source, reason)), error) from error
    except RevisionNotFoundError as error:
        reason = f"it has no revision {shown(revision, 60)}: give a branch, tag or commit of it"
        raise with_hub_message(str(refusal(source, reason)), error) from error
    except LocalEntryNotFoundError as error:
        because = "HF_HUB_OFFLINE is set" if is_offline_mode() else "the hub cannot be reached"
        missing = f"its revision {shown(revision, 60)}" if revision else "it"
        raise refusal(
            source, f"{missing} is not in the Hugging Face cache, and {because}"
        ) from error
    except Exception as error:  # whatever the hub's and the network's libraries raise
        raise refusal(source, str(error) or type(error).__name__) from error


def _names_on_hub(source: str | Path, folder: Path) -> Iterable[str]:
    if not is_offline_mode():
        try:
            return HfApi().list_repo_files(str(source), revision=folder.name)
        except Exception:  # the hub is away: what its cache has is what can be loaded
            pass
    return [file.name for file in folder.iterdir()]
