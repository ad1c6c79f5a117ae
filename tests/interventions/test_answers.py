"""Ids of answers in context, and greedy answers, for every kind of tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from interventions import answers
from interventions.answers import Continuation
from interventions.criteria import editing
from interventions.lm import LM
from interventions.prompt_format import PLAIN, PromptFormat
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


IDS = {"": [], "a": [5, 6], "b": [8], "a b": [5, 7, 4], "b b": [9, 8], " b": [8], "a ": [5, 6]}


class Words:
    """A tokenizer of texts whose ids are known: 1 begins, 2 ends and 3 pads them, 4 is unknown."""

    bos_token_id, eos_token_id, pad_token_id, unk_token_id = 1, 2, 3, 4
    all_special_ids = (1, 2, 3, 4)

    def __call__(
        self, texts: list[str], add_special_tokens: bool = True
    ) -> dict[str, list[list[int]]]:
        assert texts  # a batch of no texts has no ids
        rows = [IDS[text] for text in texts]
        return {"input_ids": [[1, *row, 2, 2] if add_special_tokens else row for row in rows]}


CHAT = PromptFormat("chat", adds_special_tokens=False)


@pytest.mark.parametrize(
    ("prompt_format", "prompt", "answer", "expected"),
    [
        (PLAIN, "a", "", Continuation([1, 5, 6], [])),
        # the end of the prompt is joined with the answer; an unknown token is text
        (PLAIN, "a", "b", Continuation([1, 5], [7, 4])),
        (PLAIN, "", "b", Continuation([1], [8])),
        (CHAT, "a", "b", Continuation([5], [7, 4])),
        # nothing is in common, and a model is given one token at least
        (CHAT, "b", "b", Continuation([8], [9, 8])),
    ],
)
def test_an_answer_begins_where_the_ids_of_prompt_and_whole_part(
    prompt_format: PromptFormat, prompt: str, answer: str, expected: Continuation
) -> None:
    known: Any = Words()
    assert answers.continuations(known, [(prompt, answer)], prompt_format) == [expected]


def test_no_pairs_have_no_answers() -> None:
    known: Any = Words()
    assert answers.continuations(known, [], PLAIN) == []
    assert answers.continuations(known, [], CHAT) == []


@pytest.mark.parametrize("generates", [True, False])
@pytest.mark.parametrize(
    ("prompt_format", "expected"), [(PLAIN, [[5, 6, 4], [5]]), (CHAT, [[5], [5]])]
)
def test_an_answer_is_cut_to_its_targets_length_and_in_a_chat_to_its_turn(
    generates: bool,
    prompt_format: PromptFormat,
    expected: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A chat's turn ends with a special token, which is skipped elsewhere."""
    targets = [Continuation([10], [0] * 4), Continuation([11, 12], [0])]
    prompts: list[list[list[int]]] = []

    def generates_so(lm: LM, known_prompts: list[list[int]]) -> bool:
        prompts.append(known_prompts)
        return generates

    def generated(lm: LM, of: Sequence[Continuation]) -> list[list[int]]:
        assert generates
        return [[5, 2, 6, 4, 7] for _ in of]

    def predicted(lm: LM, target: Continuation) -> list[int]:
        assert not generates
        return [5, 2, 6, 4, 7]

    monkeypatch.setattr(answers, "generates_what_it_predicts", generates_so)
    monkeypatch.setattr(answers, "_generated", generated)
    monkeypatch.setattr(answers, "_predicted", predicted)
    lm: Any = SimpleNamespace(tokenizer=Words(), prompt_format=prompt_format)
    assert answers.greedy_answers(lm, targets) == expected
    assert prompts == [[[10], [11, 12]]]


@pytest.mark.parametrize(
    ("end", "length", "expected"),
    [(None, 3, [8, 9, 7]), (7, 5, [8, 9, 7]), ([6, 8], 5, [8]), (9, 1, [8]), (9, 0, [])],
)
def test_plain_passes_answer_token_by_token_up_to_an_end_or_the_length(
    end: int | list[int] | None,
    length: int,
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    likeliest = {(5, 6): 8, (5, 6, 8): 9, (5, 6, 8, 9): 7}

    def plain_logits(lm: LM, ids: list[int]) -> torch.Tensor:
        logits = torch.zeros(len(ids), 12)
        logits[-1, likeliest[tuple(ids)]] = 1
        return logits

    monkeypatch.setattr(answers, "plain_logits", plain_logits)
    lm: Any = SimpleNamespace(
        model=SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=end))
    )
    assert answers._predicted(lm, Continuation([5, 6], [0] * length)) == expected
