"""Editing criteria, against greedy decoding one token at a time and sums by hand."""

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch

from interventions.answers import generates_what_it_predicts
from interventions.criteria import editing
from interventions.criteria.base import Scores, measure
from interventions.data.base import Data, Edit
from interventions.lm import LM


@pytest.mark.parametrize(
    ("answer", "target", "f1"),
    [
        ([1, 2], [1, 2], 1.0),
        ([2, 1], [1, 2], 1.0),
        ([1, 3], [1, 2], 0.5),
        ([1, 1], [1, 2], 2 / 3),
        ([3], [1], 0.0),
    ],
)
def test_f1_is_over_sets_of_tokens(answer: list[int], target: list[int], f1: float) -> None:
    assert editing.token_f1(answer, target) == pytest.approx(f1)


def test_answers_are_the_argmax_of_unpadded_prompts(lm: LM, small: Data) -> None:
    pairs = tuple((p.prompt, p.answer) for p in small.locality)
    for (prompt, _), (answer, target) in zip(pairs, editing.generated(lm, pairs), strict=True):
        ids = lm.tokenizer.encode(prompt)
        for _ in target:
            with torch.no_grad():
                ids.append(int(lm.model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert answer == ids[-len(target) :]


Answers = Callable[[dict[str, float]], None]


@pytest.fixture
def answer_scores(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """A function that says which F1 the answer to each prompt has, whatever the model says."""

    def set_scores(scores: dict[str, float]) -> None:
        monkeypatch.setattr(
            editing, "answer_f1", lambda lm, pairs: [scores[prompt] for prompt, _ in pairs]
        )

    return set_scores


def edit(prompt: str, *rephrasings: str) -> Edit:
    return Edit("subject", prompt, "new", "old", rephrasings)


def test_generalization_is_the_mean_over_edits_of_the_mean_over_rephrasings(
    lm: LM, small: Data, answer_scores: Answers
) -> None:
    """Neither the best rephrasing counts, nor does an edit with many rephrasings count more."""
    answer_scores({"a1": 1.0, "a2": 0.0, "b1": 0.25, "b2": 0.25, "b3": 0.5, "b4": 1.0})
    data = dataclasses.replace(
        small, edits=(edit("a", "a1", "a2"), edit("b", "b1", "b2", "b3", "b4"))
    )
    assert editing.edit_generalization(lm, data) == Scores(
        0.5, 0.0, {"0": (1.0 + 0.0) / 2, "1": (0.25 + 0.25 + 0.5 + 1.0) / 4}
    )


def test_success_is_asked_of_the_edited_prompts_and_locality_of_the_unedited(
    lm: LM, small: Data, answer_scores: Answers
) -> None:
    data = dataclasses.replace(
        small, edits=(edit("a", "a1"), edit("b", "b1")), locality=small.locality[:2]
    )
    first, second = (unedited.prompt for unedited in data.locality)
    answer_scores({"a": 1.0, "b": 0.5, "a1": 0.0, "b1": 0.0, first: 0.25, second: 0.75})
    assert editing.edit_success(lm, data) == Scores(0.75, 0.25, {"0": 1.0, "1": 0.5})
    assert editing.edit_locality(lm, data) == Scores(0.5, 0.25, {"0": 0.25, "1": 0.75})


def test_success_is_held_against_the_new_target(lm: LM, data: Data) -> None:
    edited = dataclasses.replace(
        data, edits=tuple(dataclasses.replace(edit, target=edit.original) for edit in data.edits)
    )
    assert editing.edit_success(lm, edited).value > 0.9  # what the base model says
    assert editing.edit_success(lm, data).value < 0.5


def test_preservation_is_the_share_of_unchanged_answers(lm: LM, small: Data) -> None:
    assert small.base_answers is not None
    half_changed = tuple(
        answer if index % 2 else "another answer" for index, answer in enumerate(small.base_answers)
    )
    assert editing.edit_preservation(lm, small).value == 1
    changed = dataclasses.replace(small, base_answers=half_changed)
    scores = editing.edit_preservation(lm, changed)
    assert scores.items == {str(index): float(index % 2) for index in range(8)}
    assert scores.value == 0.5


def test_preservation_needs_the_base_models_answers(lm: LM, small: Data) -> None:
    with pytest.raises(ValueError, match=r"edit_preservation needs data\.base_answers"):
        editing.edit_preservation(lm, dataclasses.replace(small, base_answers=None))
    assert small.base_answers is not None
    with pytest.raises(ValueError, match="zip"):
        editing.edit_preservation(
            lm, dataclasses.replace(small, base_answers=small.base_answers[:-1])
        )


def test_an_answer_is_as_long_as_its_target_in_every_batch(
    lm: LM, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = tuple((unedited.prompt, unedited.answer) for unedited in data.locality[:10])
    expected = editing.generated(lm, pairs)
    assert all(len(answer) == len(target) for answer, target in expected)
    assert len({len(target) for _, target in expected}) > 1
    monkeypatch.setattr(editing, "_BATCH", 3)
    assert editing.generated(lm, pairs) == expected


def test_what_criteria_share_is_computed_once_a_pass(
    lm: LM, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    assert generates_what_it_predicts(lm, [[7, 8, 9]])  # tried once, so that it is known below
    real = lm.model.generate

    def watched(**kwargs: object) -> object:
        calls.append(1)
        return real(**kwargs)

    monkeypatch.setattr(lm.model, "generate", watched)
    measure(lm, data, ["edit_locality", "edit_preservation"])
    assert len(calls) == math.ceil(len(data.locality) / 64)
