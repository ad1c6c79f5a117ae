"""Portability: questions that follow from an edit, by kind, with errors that know their edits."""

import dataclasses
import math
from pathlib import Path
from typing import get_args

import pytest

from interventions.answers import continuations, greedy_answers
from interventions.criteria import editing
from interventions.criteria.base import (
    CRITERIA,
    applicable,
    grouped_scores,
    measure,
    standard_error,
)
from interventions.data.base import (
    PORTABILITY_KINDS,
    Data,
    Edit,
    PortabilityKind,
    PortabilityPrompt,
)
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.anatomies.zoo import build

PARTS_OF_IT = {f"edit_portability_{kind}": kind for kind in PORTABILITY_KINDS}


def edit(*prompts: tuple[str, str, PortabilityKind]) -> Edit:
    portable = tuple(PortabilityPrompt(*prompt) for prompt in prompts)
    return Edit("Vesk", "Vesk is", "new", "old", (), portable)


EDITS = (
    edit(("h1", "a", "hop"), ("h2", "a", "hop"), ("a1", "a", "alias")),
    edit(),
    edit(("r1", "a", "reverse"), ("h3", "a", "hop")),
)
F1 = {"h1": 1.0, "h2": 0.5, "a1": 0.0, "r1": 0.25, "h3": 0.0}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that are answered; each with the F1 above."""
    prompts: list[str] = []

    def answer(lm: LM, pairs: tuple[tuple[str, str], ...]) -> list[float]:
        prompts.extend(prompt for prompt, _ in pairs)
        return [F1[prompt] for prompt, _ in pairs]

    monkeypatch.setattr(editing, "answer_f1", answer)
    return prompts


def test_the_value_is_the_mean_over_all_prompts_and_an_item_says_its_edit_and_kind(
    lm: LM, small: Data, asked: list[str]
) -> None:
    scores = editing.edit_portability(lm, dataclasses.replace(small, edits=EDITS))
    assert scores.items == {
        "0/hop/0": 1.0, "0/hop/1": 0.5, "0/alias/0": 0.0, "2/reverse/0": 0.25, "2/hop/0": 0.0
    }  # fmt: skip
    assert scores.value == pytest.approx((1.0 + 0.5 + 0.0 + 0.25 + 0.0) / 5)
    # two edits, whose deviations from .35 add up to .45 and -.45: sqrt(2 * (.45^2 + .45^2)) / 5
    assert scores.stderr == pytest.approx(math.sqrt(2 * 2 * 0.45**2) / 5)
    assert asked == list(F1)


def test_its_parts_are_the_means_of_each_kind(lm: LM, small: Data, asked: list[str]) -> None:
    data = dataclasses.replace(small, edits=EDITS)
    measured = measure(lm, data, PARTS_OF_IT)
    assert {name: scores.value for name, scores in measured.items()} == {
        "edit_portability_hop": 0.5, "edit_portability_alias": 0.0, "edit_portability_reverse": 0.25
    }  # fmt: skip
    whole = editing.edit_portability(lm, data)
    for name, kind in PARTS_OF_IT.items():
        assert CRITERIA.get(name).group == "edit_portability"
        of_kind = {item: x for item, x in whole.items.items() if item.split("/")[1] == kind}
        assert measured[name].items == of_kind
    assert measured["edit_portability_hop"].stderr == pytest.approx(math.sqrt(2 * 2 * 0.5**2) / 3)
    # of one edit there is no error to tell
    assert math.isnan(measured["edit_portability_alias"].stderr)


def test_it_is_measured_only_where_there_are_such_prompts(lm: LM, small: Data) -> None:
    without = dataclasses.replace(small, edits=(edit(), edit()))
    hops = dataclasses.replace(small, edits=(edit(("h", "a", "hop")), edit()))
    names = {"edit_portability", *PARTS_OF_IT}
    assert names & {each.name for each in applicable(without)} == set()
    measured = {each.name for each in applicable(hops)}
    assert names & measured == {"edit_portability", "edit_portability_hop"}
    with pytest.raises(InvalidInput, match="edit_portability_alias is measured on aliases, of wh"):
        measure(lm, hops, ["edit_success", "edit_portability_alias"])


def test_a_kind_that_is_none_is_refused() -> None:
    assert set(PORTABILITY_KINDS) == set(get_args(PortabilityKind))
    with pytest.raises(InvalidInput, match="kind must be hop or alias or reverse, but got 'jump'"):
        PortabilityPrompt("p", "a", "jump")  # type: ignore[arg-type]


def test_one_answer_per_edit_has_the_plain_error_and_copies_of_it_add_nothing() -> None:
    scores = {"0": 0.0, "1": 1.0, "2": 0.5, "3": 1.0}
    single = grouped_scores({name: {"x": score} for name, score in scores.items()})
    assert single.stderr == pytest.approx(standard_error(list(scores.values())))
    copied = grouped_scores(
        {name: dict.fromkeys("xyz", score) for name, score in scores.items()} | {"4": {}}
    )
    assert (copied.value, copied.stderr) == pytest.approx((single.value, single.stderr))
    assert math.isnan(grouped_scores({"0": {"x": 0.0, "y": 1.0}}).stderr)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_answers_that_a_model_gives_are_right_and_others_are_not(
    family: str, tmp_path: Path, small: Data
) -> None:
    """The gold answers are what small random models say: eight tokens, in batches of three."""
    lm = LM.load(build(family, tmp_path))
    prompts = ["The river of Vesk is", "Vesk", "Whose river is the Orlo? It is that of the"]
    pairs = [(prompt, "one two three four") for prompt in prompts]
    answers = [lm.tokenizer.decode(ids) for ids in _said(lm, pairs)]
    edits = tuple(
        edit((prompt, answer, "hop"), (prompt, "zzz", "alias"))
        for prompt, answer in zip(prompts, answers, strict=True)
    )
    right = dataclasses.replace(small, edits=edits)
    measured = measure(lm, right, ["edit_portability", *list(PARTS_OF_IT)[:2]])
    hop, alias = measured["edit_portability_hop"], measured["edit_portability_alias"]
    assert hop.value > alias.value
    assert measured["edit_portability"].value == pytest.approx((hop.value + alias.value) / 2)


def _said(lm: LM, pairs: list[tuple[str, str]]) -> list[list[int]]:
    return greedy_answers(lm, continuations(lm.tokenizer, pairs))
