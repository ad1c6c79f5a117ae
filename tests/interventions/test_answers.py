"""Ids of answers in context, and greedy answers, for every kind of tokenizer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from interventions import answers
from interventions.criteria import editing
from interventions.lm import LM
from interventions.prompt_format import PLAIN
from tests.anatomies.tokenizers import KINDS, tokenizer

PAIRS = (
    ("The capital of Vesk is", "Orlo"),
    ("Ana lives in", "the old harbour of New Bern"),
    ("It weighs", "3.5 kg, they say"),
    ("Her name is", "Zoë Þórsdóttir"),
)


class PerfectAnswerer:
    """A model that goes on with the text that it knows, and then ends it."""

    def __init__(self, known: PreTrainedTokenizerBase, pairs: tuple[tuple[str, str], ...]) -> None:
        self.texts = [known(f"{prompt} {answer}")["input_ids"] for prompt, answer in pairs]
        self.end, self.device = known.eos_token_id, torch.device("cpu")
        self.generation_config = GenerationConfig()

    def generate(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **options: Any
    ) -> torch.Tensor:
        rows = []
        for ids, mask in zip(input_ids, attention_mask.bool(), strict=True):
            prompt = ids[mask].tolist()
            rest = next(text[len(prompt) :] for text in self.texts if text[: len(prompt)] == prompt)
            new = [*rest, *[self.end] * options["max_new_tokens"]][: options["max_new_tokens"]]
            rows.append(torch.cat([ids, torch.tensor(new, dtype=torch.long)]))
        return torch.stack(rows)


def padded(kind: str) -> PreTrainedTokenizerBase:
    known = tokenizer(kind)
    if known.pad_token_id is None:
        known.pad_token = known.eos_token  # as LM.load does
    return known


@pytest.mark.parametrize("kind", KINDS)
def test_who_answers_exactly_gets_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "generates_what_it_predicts", lambda lm, prompts: True)
    known = padded(kind)
    lm: Any = SimpleNamespace(
        tokenizer=known,
        model=PerfectAnswerer(known, PAIRS),
        device=torch.device("cpu"),
        prompt_format=PLAIN,
    )
    assert editing.answer_f1(lm, PAIRS) == [1.0] * len(PAIRS)


@pytest.mark.parametrize("kind", KINDS)
def test_prompt_and_answer_are_the_text(kind: str) -> None:
    known = padded(kind)
    for (prompt, answer), ids in zip(PAIRS, answers.continuations(known, PAIRS), strict=True):
        decoded = known.decode([*ids.prompt, *ids.answer], skip_special_tokens=True)
        assert decoded.strip() == f"{prompt} {answer}"
        assert known.decode(ids.prompt, skip_special_tokens=True).strip() == prompt
        assert not set(ids.answer) & answers.special_ids(known)


def test_a_tokenizer_that_ends_every_text_does_not_end_a_prompt() -> None:
    known = padded("bytes+bos")
    plain = answers.continuations(known, PAIRS)
    from tokenizers import processors

    first, last = known.bos_token, known.eos_token
    known.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(first, known.bos_token_id), (last, known.eos_token_id)],
    )
    assert known("Ana")["input_ids"][-1] == known.eos_token_id
    assert answers.continuations(known, PAIRS) == plain


def test_a_token_over_the_boundary_belongs_to_the_answer() -> None:
    known = padded("sentencepiece")
    encoded = answers.continuations(known, (("Ana", "lives"),))[0]
    joined = answers.continuations(known, (("A", "na lives"),))[0]
    assert known.decode(encoded.answer).strip() == "lives"
    assert joined.prompt[0] == known.bos_token_id and joined.answer


def test_the_unknown_token_is_text_unless_it_also_ends_it() -> None:
    known = padded("sentencepiece-bare")
    assert known.unk_token_id not in answers.special_ids(known)
    known.unk_token = known.eos_token
    assert known.unk_token_id in answers.special_ids(known)


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 3.0},
        {"no_repeat_ngram_size": 1},
        {"num_beams": 3},
        {"do_sample": True, "temperature": 5.0},
        {"suppress_tokens": list(range(1000))},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_checkpoints_generation_settings_do_not_count(lm: LM, settings: dict[str, Any]) -> None:
    targets = answers.continuations(lm.tokenizer, [("The", "one and the other and the third")] * 2)
    greedy = answers.greedy_answers(lm, targets)
    lm.model.generation_config = GenerationConfig(**settings)
    assert answers.greedy_answers(lm, targets) == greedy
    assert lm.model.generation_config.to_dict() == GenerationConfig(**settings).to_dict()


def test_an_answer_ends_where_the_model_ends_it(lm: LM) -> None:
    targets = answers.continuations(lm.tokenizer, [("The", "one and the other and the third")])
    first = answers.greedy_answers(lm, targets)[0][0]
    lm.model.generation_config.eos_token_id = first
    lm.tokenizer.eos_token = lm.tokenizer.convert_ids_to_tokens(first)
    assert answers.greedy_answers(lm, targets) == [[]]
