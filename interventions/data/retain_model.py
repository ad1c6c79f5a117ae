"""A model that was trained without what is to be forgotten: what unlearning is compared with."""

from __future__ import annotations

import functools
from pathlib import Path

from interventions.errors import InvalidInput, shown
from interventions.files import file_digest

_CONFIG = "config.json"
# of weights, settings and tokenizer
_SUFFIXES = (".safetensors", ".bin", ".json", ".model", ".txt", ".tiktoken")


def check_retain_model(folder: Path) -> str:
    """Return the path of a model's folder.

    Raises:
        InvalidInput: there is no model in it.
    """
    if not (folder / _CONFIG).is_file():
        raise InvalidInput(
            f"retain_model must be the folder of a model, with its {_CONFIG}, but got"
            f" {shown(str(folder), 150)}"
        )
    return str(folder)


def retain_model_identity(folder: str) -> str:
    """Return a hash of a model's files: of its weights, its tokenizer and its settings.

    Files are read once per process, unless they change.

    Example:
        >>> from interventions.data.testbed import RETAIN_MODEL
        >>> len(retain_model_identity(str(RETAIN_MODEL)))
        32
    """
    files = (path for path in Path(folder).iterdir() if path.is_file())
    paths = [path for path in files if path.suffix in _SUFFIXES]
    stats = [(str(path), path.stat()) for path in sorted(paths)]
    return _digest(tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))


@functools.lru_cache(maxsize=8)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    return file_digest(Path(path) for path, _, _ in files)
