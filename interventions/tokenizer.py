"""Load and save a model's tokenizer, so that equal tokenizers are equal files."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from interventions.errors import InvalidInput, shown
from interventions.model_files import refusal
from interventions.model_source import only_loading

_TRIED = ("A text.", "A longer one, of two lines:\n12 \N{LATIN SMALL LETTER E WITH ACUTE}")
_NEEDED = ("input_ids", "attention_mask")
_PANIC = "PanicException"  # of a library in Rust; it is no Exception, and its class is not public
_MOST_SHOWN = 60  # characters of a token


def load_tokenizer(
    source: str | Path, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Return a model's tokenizer, which can pad, and reads a text.

    Args:
        source: a checkpoint folder, or a model's id on the Hugging Face hub.
        revision: of the hub's model.
        trust_remote_code: whether code that comes with the model may run.

    Raises:
        InvalidInput: it has no token to pad with, or cannot read a text.
    """
    try:
        with only_loading():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                source, revision=revision, trust_remote_code=trust_remote_code
            )
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        if tokenizer.pad_token_id is None:
            raise refusal(source, "its tokenizer has neither a pad_token nor an eos_token")
        _try(source, tokenizer)
    except InvalidInput:
        raise
    except BaseException as error:  # whatever odd files raise in it
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        reason = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise refusal(source, f"its tokenizer cannot be used: {reason}") from error
    # it is saved with these, which say how it was loaded: equal keys are to have equal files
    tokenizer.init_kwargs |= {"is_local": True, "local_files_only": False}
    return tokenizer


def check_token_ids(source: str | Path, tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    """Check that a model has an embedding of every token that a text can have.

    Special tokens in brackets, such as ``<image>``, may be without one: some text models have the
    tokenizer of a larger family, and no text of ours has these.

    Args:
        source: the model, for the message.
        tokenizer: its tokenizer.
        rows: of the embedding.

    Raises:
        InvalidInput: there is a token without.
    """
    used = {
        tokenizer.pad_token_id,
        tokenizer.bos_token_id,
        *(index for ids in tokenizer(list(_TRIED))["input_ids"] for index in ids),
    }
    unused = {
        index
        for index, token in tokenizer.added_tokens_decoder.items()
        if token.special and token.content[:1] in ("<", "[") and index not in used
    }
    for token, index in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        if index >= rows and index not in unused:
            raise refusal(
                source,
                f"its tokenizer's token {shown(token, _MOST_SHOWN)} has the number {index}, but"
                f" the model has embeddings of {rows} tokens",
            )


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a tokenizer's files, without what its last call padded and cut."""
    _forget_last_call(tokenizer)
    tokenizer.save_pretrained(folder)


def _try(source: str | Path, tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = tokenizer(
        list(_TRIED),
        return_tensors="pt",
        padding=True,
        padding_side="left",
        return_token_type_ids=False,
    )
    for name in _NEEDED:
        if name not in encoded:
            raise refusal(source, f"its tokenizer gives no {name}: see its model_input_names")
    # which needs the ids to be the first of them
    tokenizer.pad({"input_ids": [[0], [0, 0]]}, return_tensors="pt")
    _forget_last_call(tokenizer)


def _forget_last_call(tokenizer: PreTrainedTokenizerBase) -> None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_padding()
        backend.no_truncation()
