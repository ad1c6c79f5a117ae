"""Editing criteria: the token-set F1 of greedily generated answers (paper, sections 3.1 and C)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from interventions.criteria.base import Scores, criterion, mean_scores, shared
from interventions.data.base import Data
from interventions.lm import LM, batches

_BATCH = 64  # prompts


@criterion(better="higher", unit="F1", reads=("edits",))
def edit_success(lm: LM, data: Data) -> Scores:
    """F1 of the answer to each edited prompt against the new target, mean over edits (paper, section 3.1)."""
    pairs = tuple((edit.prompt, edit.target) for edit in data.edits)
    return mean_scores({str(i): f1 for i, f1 in enumerate(answer_f1(lm, pairs))})


@criterion(better="higher", unit="F1", reads=("edits",))
def edit_generalization(lm: LM, data: Data) -> Scores:
    """The same on rephrasings of the edited prompts: mean over each edit's, then over edits (paper, section 3.1)."""
    pairs = tuple((prompt, edit.target) for edit in data.edits for prompt in edit.rephrasings)
    scores = iter(answer_f1(lm, pairs))
    items = {}
    for i, edit in enumerate(data.edits):
        own = [next(scores) for _ in edit.rephrasings]
        items[str(i)] = sum(own) / len(own)
    return mean_scores(items)


@criterion(better="higher", unit="F1", reads=("locality",))
def edit_locality(lm: LM, data: Data) -> Scores:
    """Strict locality: F1 against the gold answer on unrelated, unedited prompts (paper, section 3.1)."""
    pairs = tuple((p.prompt, p.answer) for p in data.locality)
    return mean_scores({str(i): f1 for i, f1 in enumerate(answer_f1(lm, pairs))})


@criterion(better="higher", unit="share", reads=("locality", "base_answers"))
def edit_preservation(lm: LM, data: Data) -> Scores:
    """Share of the locality prompts whose answer is the base model's (the field's usual locality; not in the paper).

    Source: De Cao et al. 2021, "Editing Factual Knowledge in Language Models", section 2 (consistency).
    """
    if data.base_answers is None:
        raise ValueError(
            "edit_preservation needs data.base_answers: use with_base_answers(data, base_model)"
        )
    now = locality_answers(lm, data)
    return mean_scores(
        {str(i): float(a == b) for i, (a, b) in enumerate(zip(now, data.base_answers, strict=True))}
    )


def locality_answers(lm: LM, data: Data) -> tuple[str, ...]:
    """The model's greedy answers to the locality prompts, each as long as the gold answer."""
    return tuple(
        lm.tokenizer.decode(ids)
        for ids, _ in generated(lm, tuple((p.prompt, p.answer) for p in data.locality))
    )


def answer_f1(lm: LM, pairs: tuple[tuple[str, str], ...]) -> list[float]:
    """Token-set F1 of the greedy answer, clipped to the target's length, against each (prompt, target)."""
    return [token_f1(answer, target) for answer, target in generated(lm, pairs)]


def token_f1(answer: Sequence[int], target: Sequence[int]) -> float:
    """2PR / (P + R) over the sets of tokens."""
    shared_tokens = len(set(answer) & set(target))
    return 2 * shared_tokens / (len(set(answer)) + len(set(target))) if shared_tokens else 0.0


@shared
def generated(lm: LM, pairs: tuple[tuple[str, str], ...]) -> list[tuple[list[int], list[int]]]:
    """(ids of the greedy answer, ids of the target), for each (prompt, target), equally long."""
    results: list[tuple[list[int], list[int]]] = []
    for batch in batches(pairs, _BATCH):
        targets = [
            lm.tokenizer.encode(" " + target, add_special_tokens=False) for _, target in batch
        ]
        prompts = lm.encode([prompt for prompt, _ in batch], padding_side="left")
        with torch.inference_mode():
            out = lm.model.generate(
                **prompts,
                max_new_tokens=max(map(len, targets)),
                do_sample=False,
                pad_token_id=lm.tokenizer.pad_token_id,
            )
        answers = out[:, prompts["input_ids"].shape[1] :].tolist()
        results += [
            (answer[: len(target)], target) for answer, target in zip(answers, targets, strict=True)
        ]
    return results
