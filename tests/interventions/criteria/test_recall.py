"""Facts recalled exactly: every token of the answer is the likeliest one."""

import dataclasses
from pathlib import Path

import pytest
import torch

from interventions.answers import continuations
from interventions.criteria.base import applicable, mean_scores, measure
from interventions.criteria.recall import facts_exact
from interventions.data.base import Data, Prompt
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.anatomies.texts import sentences
from tests.anatomies.zoo import build

FACTS = tuple(
    Prompt(f"Question: What is the {noun} of {name}?\nAnswer:", answer)
    for noun, name, answer in (
        ("river", "Vesk", "Orlo"), ("seat", "the Guild", "the old town hall"), ("age", "Ann", "7")
    )
)  # fmt: skip


def is_greedy(lm: LM, fact: Prompt) -> bool:
    """Whether each token of the answer is the likeliest after all before it, in plain passes."""
    both = continuations(lm.tokenizer, [(fact.prompt, fact.answer)])[0]
    ids = [*both.prompt, *both.answer]
    with torch.no_grad():
        likeliest = lm.model(torch.tensor([ids])).logits[0].argmax(-1)
    return likeliest[len(both.prompt) - 1 : -1].tolist() == both.answer


def greedy_answer(lm: LM, prompt: str, tokens: int) -> str:
    ids = lm.tokenizer.encode(prompt)
    for _ in range(tokens):
        with torch.no_grad():
            ids.append(int(lm.model(torch.tensor([ids])).logits[0, -1].argmax()))
    whole, start = lm.tokenizer.decode(ids), lm.tokenizer.decode(lm.tokenizer.encode(prompt))
    return whole.removeprefix(start).removeprefix(" ")


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_fact_counts_if_its_whole_answer_is_how_the_model_goes_on(
    family: str, tmp_path: Path, small: Data
) -> None:
    lm = LM.load(build(family, tmp_path))
    prompts = [f"The river of {name} is" for name in sentences(40, seed=0, most=1)]
    # what a random model says is seldom split again as it was said
    said = [
        Prompt(prompt, greedy_answer(lm, prompt, 1 + i % 3)) for i, prompt in enumerate(prompts)
    ]
    longer = [Prompt(fact.prompt, f"{fact.answer} and so on") for fact in said]
    facts = (*said, *longer, *FACTS)
    scores = facts_exact(lm, dataclasses.replace(small, facts=facts))
    assert scores.items == {str(i): float(is_greedy(lm, fact)) for i, fact in enumerate(facts)}
    assert scores == mean_scores(scores.items) and 0 < scores.value < 1


def test_the_testbeds_model_recalls_its_facts_until_it_is_destroyed(lm: LM, data: Data) -> None:
    known = dataclasses.replace(data, facts=data.facts[:40])
    intact = facts_exact(lm, known)
    assert intact.value > 0.5
    assert intact.items == {str(i): float(is_greedy(lm, f)) for i, f in enumerate(known.facts)}
    # right but for its last word, an answer is not recalled
    longer = tuple(Prompt(fact.prompt, f"{fact.answer} and so") for fact in known.facts)
    assert facts_exact(lm, dataclasses.replace(data, facts=longer)).value == 0
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter.fill_(0.0)
    assert facts_exact(lm, known).value == 0


def test_it_is_measured_only_where_the_data_know_facts(lm: LM, small: Data) -> None:
    without = dataclasses.replace(small, facts=())
    assert "facts_exact" not in {each.name for each in applicable(without)}
    assert "facts_exact" in {each.name for each in applicable(small)}
    names = ("edit_success", "facts_exact")
    with pytest.raises(InvalidInput, match="facts_exact is measured on facts, of which the data"):
        measure(lm, without, names)
    assert set(measure(lm, small, names)) == set(names)
