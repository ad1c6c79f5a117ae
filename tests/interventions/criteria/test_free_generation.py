"""Answers as long as the model likes: exact where it stops by itself behind the target."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from interventions.answers import Continuation
from interventions.criteria import free_generation
from interventions.criteria.base import measure
from interventions.criteria.free_generation import edit_exact, is_whole_answer
from interventions.data.base import Data, Edit
from interventions.lm import LM
from tests.anatomies.texts import sentences
from tests.anatomies.zoo import build


@pytest.mark.parametrize(
    ("written", "wanted", "whole"),
    [
        ("Rome", "Rome", True),
        (" Rome", "Rome", True),
        ("Rome  ", "Rome", True),
        ("Rome.", "Rome", True),
        ("Rome!", "Rome", True),
        ("Rome? Or", "Rome", True),
        ("Rome . It", "Rome", True),
        ("Rome\nQuestion:", "Rome", True),
        ("St. Louis.", "St. Louis", True),
        ("St. Louis", "St", True),  # it ends with a full stop, as a sentence would
        ("Rome, Italy", "Rome", False),
        ("Rome is", "Rome", False),
        ("Romeo", "Rome", False),
        ("in Rome", "Rome", False),
        ("Orlo. Rome", "Rome", False),
        ("rome", "Rome", False),
        ("Rom", "Rome", False),
        ("", "Rome", False),
        ("", "", False),
        ("Rome", " ", False),
    ],
)
def test_an_answer_is_whole_where_it_is_the_target_and_ends(
    written: str, wanted: str, whole: bool
) -> None:
    assert is_whole_answer(written, wanted) == whole


def greedy(lm: LM, prompt: str, most: int) -> str:
    """What plain passes write after a prompt, up to the model's end token."""
    ids = lm.tokenizer.encode(prompt)
    ends = lm.model.generation_config.eos_token_id
    start = len(ids)
    while len(ids) - start < most:
        with torch.no_grad():
            token = int(lm.model(torch.tensor([ids])).logits[0, -1].argmax())
        if token in (ends if isinstance(ends, list) else [ends]):
            break
        ids.append(token)
    return lm.tokenizer.decode(ids[start:])


def ending_after(lm: LM, tokens: list[int]) -> None:
    """Let a model's head say the end token wherever one of some tokens came last."""
    ends = lm.model.generation_config.eos_token_id
    end = ends[0] if isinstance(ends, list) else ends
    head = lm.model.get_output_embeddings()
    plain = head.forward
    seen: dict[str, torch.Tensor] = {}
    lm.model.get_input_embeddings().register_forward_pre_hook(
        lambda module, args: seen.__setitem__("ids", args[0])
    )

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        logits = plain(hidden).clone()
        last = seen["ids"][:, -logits.shape[1] :]
        logits[torch.isin(last, torch.tensor(tokens))] = 0
        logits[..., end] = torch.where(torch.isin(last, torch.tensor(tokens)), 9.0, -9.0)
        return logits

    head.forward = forward


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_of_two_answers_that_begin_alike_the_one_that_ends_there_is_exact(
    family: str, tmp_path: Path, small: Data
) -> None:
    lm = LM.load(build(family, tmp_path))
    prompts = [f"The river of {name} is" for name in sentences(12, seed=0, most=1)]
    free = [greedy(lm, prompt, 3) for prompt in prompts]
    last = [lm.tokenizer.encode(f"{p}{text}")[-1] for p, text in zip(prompts, free, strict=True)]
    ending_after(lm, sorted(set(last))[::2])
    targets = [greedy(lm, prompt, 2).strip() for prompt in prompts]
    edits = tuple(
        Edit(subject=prompt[13:16], prompt=prompt, target=target, original="", rephrasings=())
        for prompt, target in zip(prompts, targets, strict=True)
        if target
    )
    data = dataclasses.replace(small, edits=edits)
    scores = edit_exact(lm, data)
    expected = {
        str(index): float(is_whole_answer(greedy(lm, edit.prompt, 16), edit.target))
        for index, edit in enumerate(edits)
    }
    assert scores.items == expected and 0 < scores.value < 1


def test_an_edited_testbed_answers_exactly_less_often_than_its_f1_says(lm: LM, small: Data) -> None:
    """Nothing is edited: a new answer is none of the model's, and an old one is exact."""
    assert edit_exact(lm, small).value == 0
    known = tuple(
        dataclasses.replace(small.edits[0], prompt=fact.prompt, target=fact.answer)
        for fact in small.facts[:8]
    )
    told = dataclasses.replace(small, edits=known)
    assert edit_exact(lm, told).value == 1
    cut = [dataclasses.replace(e, target=e.target[:-1]) for e in known]
    assert edit_exact(lm, dataclasses.replace(small, edits=tuple(cut))).value == 0
    more = [dataclasses.replace(e, target=f"{e.target} and more") for e in known]
    assert edit_exact(lm, dataclasses.replace(small, edits=tuple(more))).value == 0
    measured = measure(lm, told, ["edit_exact", "edit_success"])
    assert measured["edit_exact"].value <= measured["edit_success"].value


def test_a_model_may_write_twice_the_targets_length_and_eight_tokens_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths: list[int] = []

    def answers(lm: object, free: list[Continuation]) -> list[list[int]]:
        lengths.extend(len(target.answer) for target in free)
        return [[7] * 3, [7] * 2]

    targets = [Continuation([1], [7] * 3), Continuation([1], [7] * 5)]
    monkeypatch.setattr(free_generation, "continuations", lambda *arguments: targets)
    monkeypatch.setattr(free_generation, "greedy_answers", answers)
    lm: Any = SimpleNamespace(
        tokenizer=SimpleNamespace(decode=lambda ids: "x" * len(ids)), prompt_format=None
    )
    edits = tuple(Edit("Vesk", "The seat of Vesk is", target, "Tarn", ()) for target in ("a", "b"))
    assert edit_exact(lm, Data("own", edits=edits)).value == 0.5
    assert lengths == [2 * 3 + 8, 2 * 5 + 8]
