"""Load and save a model's tokenizer, so that equal tokenizers are equal files."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from interventions.model_source import only_loading


def load_tokenizer(
    source: str | Path, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Return a model's tokenizer, which can pad.

    Args:
        source: a checkpoint folder, or a model's id on the Hugging Face hub.
        revision: of the hub's model.
        trust_remote_code: whether code that comes with the model may run.
    """
    with only_loading():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source, revision=revision, trust_remote_code=trust_remote_code
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    # it is saved with these, which say how it was loaded: equal keys are to have equal files
    tokenizer.init_kwargs |= {"is_local": True, "local_files_only": False}
    return tokenizer


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a tokenizer's files, without what its last call padded and cut."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_padding()
        backend.no_truncation()
    tokenizer.save_pretrained(folder)
