"""Where subjects and answers are in encoded prompts, byte by byte."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from interventions.data.base import Edit
from interventions.editing import prompts as prompts_module
from interventions.editing.prompts import EditPrompts
from tests.interventions.merging.branches import small_lm

EDITS = (
    Edit("Bo", "Bob and Bo like", "tea", "milk", ("",)),
    Edit("Ana", "Ana is", "in", "out", ("",)),
)
PREFIXES = ["", "Bo. "]


def test_places_are_the_subjects_last_token_and_those_before_the_answers_tokens() -> None:
    lm = small_lm("llama")

    def length(text: str) -> int:
        return len(lm.tokenizer(text)["input_ids"])

    prompts = EditPrompts(lm, EDITS, PREFIXES, answers=True)
    rows, positions = prompts.subjects
    assert prompts.each == 2 and rows.tolist() == [0, 1, 2, 3]
    ends = ["Bob and Bo", "Bo. Bob and Bo", "Ana", "Bo. Ana"]
    assert positions.tolist() == [length(end) - 1 for end in ends]
    texts = [f"{prefix}{edit.prompt}" for edit in EDITS for prefix in PREFIXES]
    wholes = [f"{prefix}{edit.prompt} {edit.target}" for edit in EDITS for prefix in PREFIXES]
    places = [
        (row, place)
        for row, (text, whole) in enumerate(zip(texts, wholes, strict=True))
        for place in range(length(text) - 1, length(whole) - 1)
    ]
    answer_rows, answer_positions = prompts.answers
    assert list(zip(answer_rows.tolist(), answer_positions.tolist(), strict=True)) == places
    following = prompts.encoded["input_ids"][answer_rows, answer_positions + 1]
    assert torch.equal(following, prompts._target_ids)
    bare = EditPrompts(lm, EDITS, PREFIXES, answers=False)
    assert bare.encoded["attention_mask"].sum(1).tolist() == [length(text) for text in texts]
    assert len(bare.answers[0]) == 0
    neutral = EditPrompts.neutral(lm, EDITS)
    assert neutral.each == 1
    assert neutral.subjects[1].tolist() == [length("Bo") - 1, length("Ana") - 1]
    neutral_lengths = [length("Bo is a"), length("Ana is a")]
    assert neutral.encoded["attention_mask"].sum(1).tolist() == neutral_lengths


def test_an_edits_delta_is_added_at_its_subjects_behind_every_prefix() -> None:
    prompts = EditPrompts(small_lm("llama"), EDITS, PREFIXES, answers=True)
    hidden = torch.ones(4, 20, 2, dtype=torch.bfloat16)
    moved = prompts.add(hidden, torch.tensor([[1.0, 2.0], [4.0, 8.0]]))
    assert moved.dtype == torch.bfloat16 and bool((hidden == 1).all())
    change = (moved - hidden).float()
    assert change[prompts.subjects].tolist() == [[1, 2], [1, 2], [4, 8], [4, 8]]
    assert change.sum() == 30


def test_the_loss_is_the_mean_over_an_answers_tokens_then_over_prefixes() -> None:
    """The tokens of all answers cost 1 nat, 2 nats, 3 nats, ..."""
    lm = small_lm("llama")
    prompts = EditPrompts(lm, EDITS, PREFIXES, answers=True)
    rows, _ = prompts.answers
    nats = torch.arange(1.0, len(rows) + 1)
    vocabulary = lm.model.config.vocab_size
    logits = torch.full((len(rows), vocabulary), -torch.inf)
    logits[:, 0] = (1 - (-nats).exp()).log()  # the rest of what is likely: no answer's
    logits[range(len(rows)), prompts._target_ids] = -nats
    means = [nats[rows == row].mean() for row in range(4)]
    expected = torch.stack([(means[0] + means[1]) / 2, (means[2] + means[3]) / 2])
    torch.testing.assert_close(prompts.answer_losses(logits), expected)


def test_a_pass_has_whole_edits_with_all_their_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts of 1, 2 and 3 letters, answers of 2, behind prefixes of 0 and 2."""
    calls: list[tuple[list[int], int]] = []

    def row_slices(lengths: list[int], most: int, together: int) -> list[slice]:
        calls.append((lengths, together))
        return [slice(0, 4), slice(4, 6)]

    monkeypatch.setattr(prompts_module, "row_slices", row_slices)
    lm: Any = SimpleNamespace(
        prompt_format=SimpleNamespace(pair=lambda prompt, answer: (prompt, answer)),
        tokenizer=lambda texts: {"input_ids": [list(text) for text in texts]},
    )
    edits = [Edit("a", prompt, "x", "y", ()) for prompt in ("a", "aa", "aaa")]
    assert prompts_module.edit_slices(lm, edits, ["", "- "]) == [slice(0, 2), slice(2, 3)]
    assert calls == [([3, 5, 4, 6, 5, 7], 2)]
