"""Answers to prompts: their token ids in context, and greedy generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from interventions.answer_labels import shared_length
from interventions.lm import LM


@dataclass(frozen=True)
class Continuation:
    """A prompt and an answer as token ids.

    Attributes:
        prompt: ids that a model is given, the tokenizer's first special tokens included.
        answer: ids that a model gives back if it answers exactly so; no special ones.
    """

    prompt: list[int]
    answer: list[int]


def continuations(
    tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]]
) -> list[Continuation]:
    """Return the ids of (prompt, answer) pairs, as the tokenizer splits "prompt answer".

    An answer that is encoded by itself has other ids: SentencePiece puts a "▁" of its own before
    it. So the two are encoded together, and the answer is what comes after the ids of the prompt.
    Where the tokenizer joins the end of the prompt with the answer, that token is the answer's.

    Args:
        tokenizer: the model's.
        pairs: texts; a space is put between them.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> tokenizer = LM.load(MODEL).tokenizer
        >>> together = continuations(tokenizer, [("The capital of Vesk is", "Orlo")])[0]
        >>> tokenizer.decode(together.answer)
        ' Orlo'
    """
    prompts = _unended_ids(tokenizer, [prompt for prompt, _ in pairs])
    whole = _unended_ids(tokenizer, [f"{prompt} {answer}" for prompt, answer in pairs])
    special = special_ids(tokenizer)
    encoded = []
    for prompt_ids, whole_ids in zip(prompts, whole, strict=True):
        common = shared_length(prompt_ids, whole_ids)
        answer = [token for token in whole_ids[common:] if token not in special]
        # a model is given one token at least
        encoded.append(Continuation(whole_ids[:common] or prompt_ids, answer))
    return encoded


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the ids that stand for no text: begin, end, padding, roles; not the unknown token."""
    structural = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    # in GPT-2 the unknown token is also the end of text
    unknown = {tokenizer.unk_token_id} - set(structural)
    return set(tokenizer.all_special_ids) - unknown


def _unended_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Return the ids of texts without the special tokens that a tokenizer may put at their end."""
    special = special_ids(tokenizer)
    every: list[list[int]] = tokenizer(list(texts))["input_ids"] if texts else []
    for ids in every:
        # nothing goes on behind an end of text
        while len(ids) > 1 and ids[-1] in special:
            ids.pop()
    return every


def greedy_answers(lm: LM, targets: Sequence[Continuation]) -> list[list[int]]:
    """Generate greedily; return the ids of each answer, cut to its target's length.

    Special tokens are left out: an answer that ends early is shorter (paper, section C.1.1).

    Args:
        lm: the model; the generation settings of its checkpoint (penalties, sampling) do not count.
        targets: the prompts, at least one, each with an answer of the length that is wanted.
    """
    special = special_ids(lm.tokenizer)
    encoded = lm.tokenizer.pad(
        {"input_ids": [continuation.prompt for continuation in targets]},
        return_tensors="pt",
        padding_side="left",
    ).to(lm.device)
    with torch.inference_mode(), plain_generation(lm.model):
        output = lm.model.generate(
            input_ids=encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            max_new_tokens=max(len(continuation.answer) for continuation in targets),
            do_sample=False,
            pad_token_id=lm.tokenizer.pad_token_id,
        )
    answers = output[:, encoded["input_ids"].shape[1] :].tolist()
    return [
        [token for token in answer[: len(continuation.answer)] if token not in special]
        for answer, continuation in zip(answers, targets, strict=True)
    ]


@contextmanager
def plain_generation(model: PreTrainedModel) -> Iterator[None]:
    """Take the generation settings of a checkpoint away while the block runs, but its end token.

    A checkpoint's ``generation_config.json`` may set penalties, beams or forced tokens, which
    ``generate`` applies also where it is asked for the greedy answer.
    """
    before = model.generation_config
    model.generation_config = GenerationConfig(
        bos_token_id=before.bos_token_id, eos_token_id=before.eos_token_id
    )
    try:
        yield
    finally:
        model.generation_config = before
