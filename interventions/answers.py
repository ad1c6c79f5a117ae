"""Answers to prompts: their token ids in context, and greedy generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, cycle, islice, takewhile
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    GenerationMixin,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from interventions.answer_labels import shared_length
from interventions.lm import LM
from interventions.padding import alike, plain_logits, precise_passes
from interventions.prompt_format import PLAIN, PromptFormat

_TRIED, _SHORT, _NEW = 12, 5, 3  # tokens of a trial: its prompt, another one, and what is generated
_GENERATES: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


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
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[str, str]],
    prompt_format: PromptFormat = PLAIN,
) -> list[Continuation]:
    """Return the ids of (prompt, answer) pairs, as the tokenizer splits "prompt answer".

    An answer that is encoded by itself has other ids: SentencePiece puts a "▁" of its own before
    it. So the two are encoded together, and the answer is what comes after the ids of the prompt.
    Where the tokenizer joins the end of the prompt with the answer, that token is the answer's.

    Args:
        tokenizer: the model's.
        pairs: plain texts.
        prompt_format: what is put around prompts, and between them and answers: a space.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> tokenizer = LM.load(MODEL).tokenizer
        >>> together = continuations(tokenizer, [("The capital of Vesk is", "Orlo")])[0]
        >>> tokenizer.decode(together.answer)
        ' Orlo'
    """
    contexts = [prompt_format.context(prompt) for prompt, _ in pairs]
    texts = [
        f"{context}{prompt_format.gap}{answer}"
        for context, (_, answer) in zip(contexts, pairs, strict=True)
    ]
    # a chat template's last token may be special, and it is no end
    ids_of = _unended_ids if prompt_format.adds_special_tokens else _plain_ids
    prompts, whole = ids_of(tokenizer, contexts), ids_of(tokenizer, texts)
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


def _plain_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Return the ids of texts, to which the tokenizer adds nothing."""
    return tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []


def greedy_answers(lm: LM, targets: Sequence[Continuation]) -> list[list[int]]:
    """Generate greedily; return the ids of each answer, cut to its target's length.

    Special tokens are left out: an answer that ends early is shorter (paper, section C.1.1).

    ``generate`` pads prompts on the left, of which some families' positions or states know nothing.
    A model that does not generate what it predicts answers by plain passes, prompt by prompt.

    Args:
        lm: the model; the generation settings of its checkpoint (penalties, sampling) do not count.
        targets: the prompts, at least one, each with an answer of the length that is wanted.
    """
    special = special_ids(lm.tokenizer)
    if generates_what_it_predicts(lm, [target.prompt for target in targets]):
        answers = _generated(lm, targets)
    else:
        answers = [_predicted(lm, target) for target in targets]
    if lm.prompt_format != PLAIN:  # a turn ends with a special token: the rest is no answer
        answers = [list(takewhile(lambda id: id not in special, answer)) for answer in answers]
    return [
        [token for token in answer[: len(target.answer)] if token not in special]
        for answer, target in zip(answers, targets, strict=True)
    ]


def generates_what_it_predicts(lm: LM, prompts: Sequence[Sequence[int]]) -> bool:
    """Tell whether generation in a padded batch goes by the predictions for each text by itself.

    Tried out once a model, on a few tokens, in float32. A ``generate`` that is not transformers' is
    taken at its word.

    Args:
        lm: the model; not changed.
        prompts: token ids, of which the trial's are.
    """
    if getattr(lm.model.generate, "__func__", None) is not GenerationMixin.generate:
        return True
    if lm.model not in _GENERATES:
        long = list(islice(cycle(chain.from_iterable(prompts)), _TRIED))
        try:
            with torch.inference_mode(), precise_passes(lm.model):
                _GENERATES[lm.model] = _generates(lm, [long[:_SHORT], long])
        except Exception:  # whatever transformers raises where it cannot generate
            _GENERATES[lm.model] = False
    return _GENERATES[lm.model]


def _generates(lm: LM, prompts: list[list[int]]) -> bool:
    """Compare the logits by which a batch is generated with those of plain passes."""
    encoded = _padded(lm, prompts)
    with plain_generation(lm.model):
        output = lm.model.generate(
            **encoded,
            max_new_tokens=_NEW,
            min_new_tokens=_NEW,
            do_sample=False,
            pad_token_id=lm.tokenizer.pad_token_id,
            output_logits=True,
            return_dict_in_generate=True,
        )
    new = output.sequences[:, encoded["input_ids"].shape[1] :].tolist()
    for row, prompt in enumerate(prompts):
        expected = plain_logits(lm, prompt + new[row])[len(prompt) - 1 : -1]
        if not alike(torch.stack([logits[row] for logits in output.logits]), expected):
            return False
    return True


def _padded(lm: LM, prompts: list[list[int]]) -> dict[str, Tensor]:
    encoded = lm.tokenizer.pad({"input_ids": prompts}, return_tensors="pt", padding_side="left").to(
        lm.device
    )
    return {key: encoded[key] for key in ("input_ids", "attention_mask")}


def _generated(lm: LM, targets: Sequence[Continuation]) -> list[list[int]]:
    """Return what ``generate`` adds to the prompts, in one batch."""
    encoded = _padded(lm, [continuation.prompt for continuation in targets])
    with torch.inference_mode(), plain_generation(lm.model):
        output = lm.model.generate(
            **encoded,
            max_new_tokens=max(len(continuation.answer) for continuation in targets),
            do_sample=False,
            pad_token_id=lm.tokenizer.pad_token_id,
        )
    answers: list[list[int]] = output[:, encoded["input_ids"].shape[1] :].tolist()
    return answers


@torch.inference_mode()
def _predicted(lm: LM, target: Continuation) -> list[int]:
    """Return the likeliest next tokens, each of a plain pass over all before it."""
    ends = lm.model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    answer: list[int] = []
    while len(answer) < len(target.answer) and not (answer and answer[-1] in ends):
        answer.append(int(plain_logits(lm, target.prompt + answer)[-1].argmax()))
    return answer


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
