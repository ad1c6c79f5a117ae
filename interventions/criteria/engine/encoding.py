"""Requests of lm-eval's tasks as token ids, by the rules of its model class for transformers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from interventions.errors import InvalidInput, shown

Pair = tuple[str, str]  # a context and what follows it


@dataclass(frozen=True)
class Encoded:
    """A request as token ids.

    Attributes:
        context: at least one token.
        continuation: whose likelihood is wanted, at least one token.
    """

    context: Sequence[int]
    continuation: Sequence[int]


def encode(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]) -> list[Encoded]:
    """Return the ids of (context, continuation) texts, as lm-eval splits them.

    Blanks at the end of a context go to its continuation. The two are encoded together, and the
    continuation is what comes after as many tokens as the context has by itself. A text that begins
    with the tokenizer's first token gets no other one. Before a continuation without a context
    stands the first token, or, without one, the end token.

    Args:
        tokenizer: the model's.
        pairs: texts.

    Raises:
        InvalidInput: a context or a continuation has no token.

    Source: lm-eval 0.4.13, ``TemplateLM.loglikelihood`` and ``_encode_pair``, and
    ``HFLM.tok_encode``.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> from interventions.lm import LM
        >>> tokenizer = LM.load(MODEL).tokenizer
        >>> (encoded,) = encode(tokenizer, [("The capital of Vesk is ", "Orlo")])
        >>> tokenizer.decode(encoded.continuation)
        ' Orlo'
    """
    moved = [_with_blanks_moved(context, continuation) for context, continuation in pairs]
    texts = {context for context, _ in moved if context}
    texts.update(context + continuation for context, continuation in moved if context)
    ids_of = _encoded_texts(tokenizer, texts)
    results = []
    for (context, continuation), pair in zip(moved, pairs, strict=True):
        if context:
            context_ids = ids_of[context]
            encoded = Encoded(context_ids, ids_of[context + continuation][len(context_ids) :])
        elif pair[0]:
            encoded = Encoded([], [])
        else:
            encoded = _without_context(tokenizer, continuation)
        _check(encoded, pair)
        results.append(encoded)
    return results


def _with_blanks_moved(context: str, continuation: str) -> Pair:
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation


def _encoded_texts(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]
) -> dict[str, list[int]]:
    """Return the ids of each text, encoded once."""
    first = first_token(tokenizer)
    prefix = None if first is None else tokenizer.decode(first)
    ids_of: dict[str, list[int]] = {}
    groups: dict[bool, list[str]] = {True: [], False: []}
    for text in texts:
        adds_special = prefix is None or not text.startswith(prefix)
        groups[adds_special].append(text)
    for adds_special, group in groups.items():
        if not group:
            continue
        if tokenizer.is_fast:
            # many texts at once are encoded in parallel
            encoded = tokenizer(group, add_special_tokens=adds_special, verbose=False)["input_ids"]
        else:
            encoded = [tokenizer.encode(text, add_special_tokens=adds_special) for text in group]
        ids_of.update(zip(group, encoded, strict=True))
    return ids_of


def first_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the token before a text without a context: the first token, or the end token."""
    first: int | None = tokenizer.bos_token_id
    return tokenizer.eos_token_id if first is None else first


def _without_context(tokenizer: PreTrainedTokenizerBase, continuation: str) -> Encoded:
    ids = tokenizer.encode(continuation, add_special_tokens=False) if continuation else []
    first = first_token(tokenizer)
    if first is None or (ids and ids[0] == first):
        return Encoded(ids[:1], ids[1:])
    return Encoded([first], ids)


def _check(encoded: Encoded, pair: Pair) -> None:
    for ids, name, text in zip(
        (encoded.context, encoded.continuation), ("context", "continuation"), pair, strict=True
    ):
        if not ids:
            raise InvalidInput(
                f"a question cannot be scored: the {name} {shown(text, 100)} has no token of its"
                f" own in {shown(pair[0][-60:] + pair[1], 150)}"
            )
