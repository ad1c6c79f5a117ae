"""What tells a model's weights from others: the content of its folder, or the hub's commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interventions.files import file_digest
from interventions.model_files import downloaded_commit

_TOKENIZER = "tokenizer.json"
_SUFFIXES = (".safetensors", ".bin", ".json")
_TOKENIZER_SUFFIXES = (".model", ".txt", ".tiktoken")


def weights_identity(
    source: str, config: Any, with_code: bool = False, revision: str | None = None
) -> str:
    """Return what tells a model's weights from others.

    Args:
        source: the model's folder, or its Hugging Face id.
        config: the model's.
        with_code: whether code of the model's own is run: it belongs to the model then. It is the
            only reason for a key to depend on ``trust_remote_code``.
        revision: of the hub's model, if one is named: its commit is what counts.
    """
    folder = Path(source)
    if not folder.is_dir():
        # transformers 5 no longer says it on a config
        commit = getattr(config, "_commit_hash", None) or downloaded_commit(source, revision)
        identity = f"{source}@{commit}"
        return f"{identity} with its code" if with_code else identity
    # with tokenizer.json, the tokenizer is read from nothing else
    is_tokenizer_whole = (folder / _TOKENIZER).exists()
    suffixes = _SUFFIXES if is_tokenizer_whole else (*_SUFFIXES, *_TOKENIZER_SUFFIXES)
    paths = [path for path in folder.iterdir() if path.suffix in suffixes and path.is_file()]
    if with_code:
        paths += folder.rglob("*.py")
    return file_digest(paths)
