"""Small tokenizers of the kinds that causal language models have, trained here and offline."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tests.anatomies.texts import sentences

VOCABULARY = 512
PAD, BOS, EOS, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
SPECIALS = [PAD, BOS, EOS, UNKNOWN]
KINDS = ("bytes", "bytes+bos", "sentencepiece", "metaspace", "sentencepiece-bare", "dropping")


def tokenizer(kind: str) -> PreTrainedTokenizerBase:
    """Return a tokenizer.

    Args:
        kind: "bytes" is byte-level BPE, as of GPT-2, without a first token; "bytes+bos" puts one,
            as OPT's; "sentencepiece" is Llama 2's: it puts a blank before every text, so that one
            that begins with a blank has two, unknown characters fall back to bytes, and there is
            a first token; "metaspace" is the later form, which puts a blank where there is none;
            "sentencepiece-bare" is Gemma's, which puts none; "dropping" removes special tokens
            from what it decodes, and their text from what it reads.
    """
    backend = Tokenizer.from_str(_trained(kind))
    # a BPE model without a padding token of its own is the usual case
    specials = {"eos_token": EOS, "unk_token": UNKNOWN}
    if kind != "bytes":
        specials |= {"bos_token": BOS}
    if kind == "sentencepiece-bare":
        specials |= {"pad_token": PAD}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, clean_up_tokenization_spaces=False, **specials
    )


@cache
def _trained(kind: str) -> str:
    """Return the trained tokenizer as JSON."""
    if kind not in KINDS:
        raise ValueError(f"no kind of tokenizer is named {kind!r}; known: {KINDS}")
    pieces = kind.startswith("sentencepiece") or kind == "metaspace"
    backend = _sentencepiece(kind != "sentencepiece-bare") if pieces else _byte_level()
    alphabet = [] if pieces else pre_tokenizers.ByteLevel.alphabet()
    fallback = [f"<0x{byte:02X}>" for byte in range(256)] if pieces else []
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[*SPECIALS, *fallback],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    backend.train_from_iterator(sentences(400, seed=0), trainer)
    if pieces:
        backend = _without_special_bytes(backend)
    if kind == "sentencepiece":
        # the trainer needs words; the trained model is used on whole texts, as Llama 2's is
        blanks = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        backend.normalizer = normalizers.Sequence(blanks)
        backend.pre_tokenizer = None
    if kind != "bytes":
        first = backend.token_to_id(BOS)
        backend.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, first)]
        )
    if kind == "dropping":
        backend.normalizer = normalizers.Replace(EOS, "")
        dropped: list[Any] = [decoders.Replace(special, "") for special in SPECIALS]
        backend.decoder = decoders.Sequence([*dropped, backend.decoder])
    return str(backend.to_str())


def _byte_level() -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return backend


def _sentencepiece(leading_blank: bool) -> Tokenizer:
    backend = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True))
    scheme = "first" if leading_blank else "never"
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    parts: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if leading_blank:
        parts.append(decoders.Strip(" ", 1, 0))
    backend.decoder = decoders.Sequence(parts)
    return backend


def _without_special_bytes(backend: Tokenizer) -> Tokenizer:
    """Return the tokenizer whose byte tokens are plain entries of the vocabulary.

    The trainer takes them as special tokens only; a special token is left out when decoding.
    """
    state = json.loads(backend.to_str())
    state["added_tokens"] = [
        token for token in state["added_tokens"] if token["content"] in SPECIALS
    ]
    return Tokenizer.from_str(json.dumps(state))
